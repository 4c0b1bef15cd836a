"""The worked journals of the design, record by record."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.budget import Limits
from tenuto.core.events.budget import BudgetMoved
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallParked,
    MergeRequested,
    ModelCallRequested,
    ToolCallRequested,
)
from tenuto.core.events.run import RunEnded, RunExhausted
from tenuto.core.events.step import StepCompleted, StepFailed, StepStarted
from tenuto.core.merging import MergeConflict, MergePolicy
from tenuto.core.plan import Retry
from tenuto.errors import DivergedError
from tenuto.testing.builders import agent, command, plan, program, prompt, tool_spec
from tenuto.testing.kernel import KernelRun, asks

READ = tool_spec("read_file", "read")
RUN = tool_spec("run", "workspace")
CODER = agent("coder", "read_file", "notify")


def tidy(*, reconcilable: bool = False) -> KernelRun:
    return KernelRun(
        plan(prompt("fix", "Fix a.py", agent="coder"), command("test", "pytest -q", needs=["fix"]), tokens=10_000),
        agents=[CODER],
        tools=[READ, RUN, tool_spec("notify", "once", reconcilable=reconcilable)],
    )


def held(run: KernelRun) -> int:
    tokens: int = run.last(ModelCallRequested).hold.tokens
    return tokens


class TestTwoSteps:
    """Example 1."""

    def test_kinds_order_and_ledger(self) -> None:
        run = tidy()
        assert run.start() == ["RunStarted", "StepStarted fix/1", "ModelCallRequested fix/1/0"]
        assert run.last(StepStarted).account.tokens == 10_000, "test cannot spend tokens: fix has them all"
        first = held(run)
        assert run.tokens("fix") == (10_000 - first, first, 0)
        assert run.reply("fix/1/0", "", asks("read_file", path="a.py"), usage=(300, 90)) == [
            "ModelReplied fix/1/0",
            "ToolCallRequested fix/1/1",
        ]
        assert run.tokens("fix") == (9_610, 0, 390)
        requested = run.last(ToolCallRequested)
        assert (requested.tool, requested.effect, requested.tree, requested.try_number) == (
            "read_file",
            "read",
            "T0",
            1,
        )
        assert run.returned("fix/1/1", {"text": "x = 1"}) == ["ToolReturned fix/1/1", "ModelCallRequested fix/1/2"]
        again = run.last(ModelCallRequested)
        assert again.extends == "fix/1/0"
        assert len(again.parts) == 2, "only the reply and the result are new"
        assert again.parts[1].length == len(b'{"text":"x = 1"}')
        assert run.tokens("fix") == (9_610 - held(run), held(run), 390)
        assert run.reply("fix/1/2", "done", usage=(500, 110)) == [
            "ModelReplied fix/1/2",
            "StepCompleted fix",
            "StepStarted test/1",
            "ToolCallRequested test/1/0",
        ]
        assert run.tokens("fix") == (9_000, 0, 1_000)
        assert run.last(ToolCallRequested).effect == "workspace"
        assert run.returned("test/1/0", tree="T1") == ["ToolReturned test/1/0", "StepCompleted test", "RunEnded"]
        ended = run.last(RunEnded)
        assert (ended.status, ended.tree, ended.spent.tokens) == ("ok", "T1", 1_000)
        assert [e.seq for e in run.entries] == list(range(14))

    def test_a_failing_command_fails_the_run(self) -> None:
        run = KernelRun(plan(command("test", "false")), tools=[RUN])
        run.start()
        answer = {"exit_code": 2, "stderr": "boom\n", "stdout": ""}
        assert run.returned("test/1/0", answer, status="error") == [
            "ToolReturned test/1/0",
            "StepFailed test",
            "RunEnded",
        ]
        assert run.last(RunEnded).failed_step == "test"
        assert run.last(StepFailed).error.message == "exit code 2: boom"


class TestKills:
    """Example 2."""

    def test_a_model_call_then_a_once_tool(self) -> None:
        run = tidy()
        run.start()
        run.reply("fix/1/0", "", asks("read_file", path="a.py"), usage=(300, 90))
        run.returned("fix/1/1", {"text": "x = 1"})
        first = run.last(ModelCallRequested)
        kept = first.hold.tokens
        assert run.resume() == ["RunResumed", "CallLost fix/1/2", "ModelCallRequested fix/1/2"]
        second = run.last(ModelCallRequested)
        assert (second.try_number, second.fingerprint, second.config) == (2, first.fingerprint, first.config)
        assert run.last(CallLost).kept.tokens == kept
        assert run.tokens("fix")[1:] == (kept, 390 + kept)
        assert run.reply("fix/1/2", "", asks("notify", to="team"), usage=(500, 110)) == [
            "ModelReplied fix/1/2",
            "ToolCallRequested fix/1/3",
        ]
        assert run.resume() == ["RunResumed", "CallInDoubt fix/1/3"]
        assert run.last(CallInDoubt).asks == "person"
        assert run.resume() == ["RunResumed"], "it stays in doubt: nothing is derived"
        spent = run.tokens("fix")[2]
        assert spent == 390 + kept + 610
        assert run.resolve("fix/1/3", done=True, result={"sent": True}) == [
            "CallResolved fix/1/3",
            "ModelCallRequested fix/1/4",
        ]
        assert run.reply("fix/1/4", "done", usage=(400, 50))[:2] == ["ModelReplied fix/1/4", "StepCompleted fix"]
        run.returned("test/1/0", tree="T1")
        assert run.state.in_doubt.tokens == kept
        assert [(d.call, d.try_number, d.amount.tokens) for d in run.state.doubtful] == [("fix/1/2", 1, kept)]
        assert run.state.status == "ok"

    def test_not_done_runs_the_tool_again_under_its_key(self) -> None:
        run = self.in_doubt()
        key = run.last(ToolCallRequested).key
        assert run.resolve("fix/1/1", done=False) == ["CallResolved fix/1/1", "ToolCallRequested fix/1/1"]
        again = run.last(ToolCallRequested)
        assert (again.try_number, again.key) == (2, key)
        run.returned("fix/1/1", {"sent": True})
        run.reply("fix/1/2", "done")
        run.returned("test/1/0")
        assert run.state.status == "ok"

    @pytest.mark.parametrize("done", [True, False])
    def test_a_tool_that_can_say_is_asked(self, *, done: bool) -> None:
        run = self.in_doubt(reconcilable=True)
        assert run.last(CallInDoubt).asks == "tool"
        after = run.reconcile("fix/1/1", done=done, result={"sent": True} if done else None)
        assert after[1] == ("ModelCallRequested fix/1/2" if done else "ToolCallRequested fix/1/1")

    def test_a_tool_that_cannot_say_leaves_it_to_a_person(self) -> None:
        run = self.in_doubt(reconcilable=True)
        assert run.reconcile("fix/1/1", done=None) == ["CallReconciled fix/1/1", "CallInDoubt fix/1/1"]
        assert run.last(CallInDoubt).asks == "person"
        assert run.state.people == 1
        assert run.resolve("fix/1/1", done=True)[1] == "ModelCallRequested fix/1/2"

    def test_a_kill_while_the_tool_is_asked_asks_it_again(self) -> None:
        run = self.in_doubt(reconcilable=True)
        assert run.resume() == ["RunResumed", "CallInDoubt fix/1/1"]
        assert run.last(CallInDoubt).asks == "tool"
        run.reconcile("fix/1/1", done=True)
        run.reply("fix/1/2", "done")
        run.returned("test/1/0")
        assert run.state.status == "ok"

    def test_reads_and_commands_are_repeated_with_their_ids(self) -> None:
        run = tidy()
        run.start()
        run.reply("fix/1/0", "", asks("read_file", path="a.py"))
        key = run.last(ToolCallRequested).key
        assert run.resume() == ["RunResumed", "ToolCallRequested fix/1/1"]
        assert (run.last(ToolCallRequested).try_number, run.last(ToolCallRequested).key) == (2, key)
        run.returned("fix/1/1", {})
        run.reply("fix/1/2", "done")
        assert run.resume() == ["RunResumed", "ToolCallRequested test/1/0"]
        assert run.last(ToolCallRequested).tree == "T0"
        run.returned("test/1/0", tree="T1")
        assert run.state.status == "ok"

    def test_the_result_is_that_of_an_uninterrupted_run(self) -> None:
        results = set()
        for kills in (0, 1, 3):
            run = tidy()
            run.start()
            for _ in range(kills):
                run.resume()
            run.reply("fix/1/0", "done")
            run.returned("test/1/0", tree="T1")
            results.add(run.state.result)
        assert len(results) == 1

    def in_doubt(self, *, reconcilable: bool = False) -> KernelRun:
        run = tidy(reconcilable=reconcilable)
        run.start()
        run.reply("fix/1/0", "", asks("notify", to="team"))
        assert run.resume() == ["RunResumed", "CallInDoubt fix/1/1"]
        return run


class TestBranches:
    """Example 3."""

    def start(self, merge: MergePolicy, **join: Any) -> KernelRun:
        run = KernelRun(
            plan(
                command("a", "python gen.py a"),
                prompt("b", "Write.", agent="writer"),
                command("c", "python gen.py c"),
                prompt("join", "Combine ${{ steps.b.output }}", needs=["a", "b", "c"], merge=merge, **join),
            ),
            agents=[agent("writer", "write_file")],
            tools=[RUN, tool_spec("write_file", "workspace")],
        )
        assert run.start() == [
            "RunStarted",
            "StepStarted a/1",
            "ToolCallRequested a/1/0",
            "StepStarted b/1",
            "ModelCallRequested b/1/0",
            "StepStarted c/1",
            "ToolCallRequested c/1/0",
        ]
        return run

    def branches(self, run: KernelRun, order: str = "cba") -> list[str]:
        told: list[str] = []
        for name in order:
            if name == "b":
                run.reply("b/1/0", "", asks("write_file", path="b.md"))
                run.returned("b/1/1", {}, tree="Tb")
                told = run.reply("b/1/2", "text of b")
            else:
                told = run.returned(f"{name}/1/0", tree=f"T{name}")
        return told

    def test_a_join_merges_in_plan_order(self) -> None:
        run = self.start(MergePolicy(kind="prefer", prefer="a"))
        assert self.branches(run) == ["ToolReturned a/1/0", "StepCompleted a", "MergeRequested join/0/0"]
        merge = run.last(MergeRequested).plan
        assert (merge.step, merge.tree, merge.policy.prefer) == ("a", "Ta", "a")
        assert [(o.step, o.tree, o.base) for o in merge.others] == [("b", "Tb", "T0"), ("c", "Tc", "T0")]
        conflict = MergeConflict(path="log.md", steps=("a", "c"), taken="a")
        assert run.merged("join/0/0", "Tm", conflict) == [
            "TreesMerged join/0/0",
            "StepStarted join/1",
            "ModelCallRequested join/1/0",
        ]
        assert run.last(StepStarted).tree == "Tm"
        run.reply("join/1/0", "combined")
        assert run.state.tree == "Tm"
        assert run.last(StepCompleted).tree == "Tm"

    @pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab"])
    def test_arrival_order_changes_nothing(self, order: str) -> None:
        results = []
        for arrival in ("cba", order):
            run = self.start(MergePolicy())
            self.branches(run, arrival)
            run.merged("join/0/0", "Tm")
            run.reply("join/1/0", "combined")
            results.append(run.state.result)
        assert results[0] == results[1]

    def test_a_conflict_fails_the_join_before_it_starts(self) -> None:
        run = self.start(MergePolicy())
        self.branches(run)
        told = run.merged("join/0/0", None, MergeConflict(path="log.md", steps=("a", "c")))
        assert told == ["TreesMerged join/0/0", "StepFailed join", "RunEnded"]
        assert run.last(StepFailed).error.kind == "merge_conflict"
        assert "log.md (a, c)" in run.last(StepFailed).error.message

    def test_a_kill_repeats_only_what_was_open(self) -> None:
        run = self.start(MergePolicy())
        run.returned("c/1/0", tree="Tc")
        run.reply("b/1/0", "", asks("write_file", path="b.md"))
        run.returned("b/1/1", {}, tree="Tb")
        run.returned("a/1/0", tree="Ta")
        assert run.resume() == ["RunResumed", "CallLost b/1/2", "ModelCallRequested b/1/2"]

    def test_a_lost_merge_is_repeated_from_the_same_plan(self) -> None:
        run = self.start(MergePolicy())
        self.branches(run)
        asked = run.last(MergeRequested)
        assert run.resume() == ["RunResumed", "MergeRequested join/0/0"]
        assert (run.last(MergeRequested).plan, run.last(MergeRequested).try_number) == (asked.plan, 2)
        run.merged("join/0/0", "Tm")
        run.reply("join/1/0", "ok")
        assert run.state.status == "ok"

    def test_the_ends_of_a_plan_are_merged(self) -> None:
        run = KernelRun(plan(command("a"), command("b")), tools=[RUN])
        run.start()
        run.returned("b/1/0", tree="Tb")
        assert run.returned("a/1/0", tree="Ta")[-1] == "MergeRequested end/0/0"
        assert run.resume() == ["RunResumed", "MergeRequested end/0/0"]
        assert run.merged("end/0/0", "Tm") == ["TreesMerged end/0/0", "RunEnded"]
        assert run.state.tree == "Tm"


class TestFragments:
    """Example 4."""

    def test_foreach_child_fails_and_is_tried_again(self) -> None:
        step = prompt(
            "patch",
            "Fix ${{ item }}",
            foreach=["x", "y", "z"],
            max_parallel=2,
            retry=Retry(attempts=3, tries=5, backoff_ms=2_000),
        )
        run = KernelRun(plan(step, tokens=9_000))
        assert run.start() == [
            "RunStarted",
            "StepExpanded patch",
            "StepStarted patch[0]/1",
            "ModelCallRequested patch[0]/1/0",
            "StepStarted patch[1]/1",
            "ModelCallRequested patch[1]/1/0",
        ]
        assert run.last(StepStarted).account.tokens == 3_000
        assert run.refused("patch[0]/1/0", 400) == [
            "ModelCallFailed patch[0]/1/0",
            "AttemptFailed patch[0]/1",
            "TimerSet patch[0]/2",
        ]
        due = run.state.timers["patch[0]/2"] - run.at
        assert 1_000_000 <= due <= 2_000_000, "backoff with jitter from the seed"
        assert run.tokens("patch[0]") == (3_000, 0, 0), "a 4xx releases the hold"
        assert run.refused("patch[1]/1/0", 429) == ["ModelCallFailed patch[1]/1/0", "TimerSet patch[1]/1/0"]
        assert run.fire("patch[0]/2") == [
            "TimerFired patch[0]/2",
            "StepStarted patch[0]/2",
            "ModelCallRequested patch[0]/2/0",
        ], "the third child waits: backoff is inside first start to end"
        assert run.fire("patch[1]/1/0") == ["TimerFired patch[1]/1/0", "ModelCallRequested patch[1]/1/0"]
        assert run.last(ModelCallRequested).try_number == 2
        assert run.reply("patch[1]/1/0") == [
            "ModelReplied patch[1]/1/0",
            "StepCompleted patch[1]",
            "StepStarted patch[2]/1",
            "ModelCallRequested patch[2]/1/0",
        ]
        assert run.refused("patch[2]/1/0", 500) == ["ModelCallFailed patch[2]/1/0", "TimerSet patch[2]/1/0"]
        assert run.state.in_doubt.tokens == run.last(ModelCallRequested).hold.tokens, "a 5xx keeps the hold"
        run.fire("patch[2]/1/0")
        run.reply("patch[2]/1/0", "two")
        run.reply("patch[0]/2/0", "zero")
        assert run.state.status == "ok"
        output = run.state.steps["patch"].output  # type: ignore[index]
        assert output is not None
        assert output.value == ["zero", "ok", "two"]

    def test_retry_after_is_a_lower_bound(self) -> None:
        run = KernelRun(plan(prompt("a", retry=Retry(backoff_ms=10))))
        run.start()
        run.refused("a/1/0", 429, retry_after_ms=60_000)
        assert run.state.timers["a/1/0"] == run.at + 60_000_000

    def test_a_timer_outlives_the_engine(self) -> None:
        run = KernelRun(plan(prompt("a", retry=Retry(backoff_ms=10))))
        run.start()
        run.refused("a/1/0", 429)
        assert run.resume() == ["RunResumed"]
        assert run.fire("a/1/0") == ["TimerFired a/1/0", "ModelCallRequested a/1/0"]

    def test_tool_calls_of_one_reply_reads_together_others_alone(self) -> None:
        run = KernelRun(
            plan(prompt("a", agent="w")),
            agents=[agent("w", "look", "write")],
            tools=[tool_spec("look"), tool_spec("write", "workspace")],
        )
        run.start()
        told = run.reply(
            "a/1/0",
            "",
            asks("look", n=1),
            asks("nonsense"),
            asks("write", n=1),
            asks("write", n=2),
            asks("look", n=2),
        )
        assert told[1:] == ["ToolCallRequested a/1/1", "ToolCallRequested a/1/2"]
        assert run.returned("a/1/2", {"error": "?"}, status="error") == ["ToolReturned a/1/2"]
        assert run.returned("a/1/1", {}) == ["ToolReturned a/1/1", "ToolCallRequested a/1/3"]
        assert run.returned("a/1/3", {}, tree="T1") == ["ToolReturned a/1/3", "ToolCallRequested a/1/4"]
        assert run.last(ToolCallRequested).tree == "T1"
        assert run.returned("a/1/4", {}, tree="T2")[1] == "ToolCallRequested a/1/5"
        assert run.returned("a/1/5", {})[1] == "ModelCallRequested a/1/6"

    def test_an_outside_effect_of_an_earlier_attempt_is_the_answer(self) -> None:
        run = KernelRun(
            plan(prompt("a", agent="w", retry=Retry(attempts=2))),
            agents=[agent("w", "notify")],
            tools=[tool_spec("notify", "once")],
        )
        run.start()
        run.reply("a/1/0", "", asks("notify", to="x"))
        run.returned("a/1/1", {"id": 7})
        run.refused("a/1/2", 400)
        run.fire("a/2")
        told = run.reply("a/2/0", "", asks("notify", to="x"))
        assert told == ["ModelReplied a/2/0", "ToolCallRequested a/2/1", "ModelCallRequested a/2/2"]
        assert run.last(ToolCallRequested).answered_by == "a/1/1"
        assert "a/2/1" not in run.commands, "the tool is not started"
        other = run.reply("a/2/2", "", asks("notify", to="y"))
        assert run.last(ToolCallRequested).answered_by is None
        assert other[-1] == "ToolCallRequested a/2/3"

    def test_equal_idempotent_calls_keep_their_keys_when_repeated(self) -> None:
        run = KernelRun(
            plan(program("p")),
            tools=[tool_spec("post", "idempotent")],
            functions={"p": twice},
        )
        run.start()
        keys = {e.event.call: e.event.key for e in run.entries if isinstance(e.event, ToolCallRequested)}
        assert len(set(keys.values())) == 2
        before = len(run.entries)
        run.resume()
        again = {e.event.call: e.event.key for e in run.entries[before:] if isinstance(e.event, ToolCallRequested)}
        assert again == keys


async def twice(ctx: Any, _inputs: Any) -> Any:
    return await ctx.gather(ctx.tool("post", n=1), ctx.tool("post", n=1))


class TestBudget:
    """Example 5. Worst cases are bytes of the request and `max_tokens`; the numbers here are the profile's."""

    def start(self) -> KernelRun:
        # The one message {"role":"user","text":"pa"} has 27 bytes.
        run = KernelRun(
            plan(
                prompt("a", "pa", agent="w", max_tokens=273),
                prompt("b", "pb", agent="w", max_tokens=223),
                prompt("c", "pc", agent="w2", max_tokens=300),
                tokens=1_000,
            ),
            agents=[agent("w"), agent("w2", "lookup")],
            tools=[tool_spec("lookup")],
        )
        assert run.start() == [
            "RunStarted",
            "StepStarted a/1",
            "ModelCallRequested a/1/0",
            "StepStarted b/1",
            "ModelCallRequested b/1/0",
            "StepStarted c/1",
            "CallParked c/1/0",
        ]
        return run

    def test_shares_parking_pooling_refusal_and_more_money(self) -> None:
        run = self.start()
        need = run.last(CallParked).need.tokens
        assert need > 333
        assert (run.tokens("(run)"), run.tokens("a"), run.tokens("b"), run.tokens("c")) == (
            (1, 0, 0),
            (33, 300, 0),
            (83, 250, 0),
            (333, 0, 0),
        )
        assert run.reply("a/1/0", "ok", usage=(60, 50)) == ["ModelReplied a/1/0", "StepCompleted a"]
        assert run.tokens("a") == (223, 0, 110)
        told = run.resume()
        assert told[:5] == [
            "RunResumed",
            "CallLost b/1/0",
            "CallParked b/1/0",
            "BudgetMoved b/1/0",
            "ModelCallRequested b/1/0",
        ]
        moved = run.last(BudgetMoved)
        assert [(s.account, s.amount.tokens) for s in moved.sources] == [("(run)", 1), ("a", 166)]
        assert len(told) == 5, "c would need more than what is free"
        assert run.reply("b/1/0", "ok", usage=(40, 50)) == [
            "ModelReplied b/1/0",
            "StepCompleted b",
            "BudgetMoved c/1/0",
            "ModelCallRequested c/1/0",
        ]
        assert [(s.account, s.amount.tokens) for s in run.last(BudgetMoved).sources] == [("b", need - 333)]
        run.reply("c/1/0", "", asks("lookup"), usage=(100, 100))
        told = run.returned("c/1/1", {})
        if told[-1] == "RunExhausted":
            assert told == ["ToolReturned c/1/1", "CallParked c/1/2", "RunExhausted"]
        else:
            run.reply("c/1/2", "", asks("lookup"), usage=(300, 100))
            told = run.returned("c/1/3", {})
        parked = run.last(RunExhausted)
        assert "RunEnded" not in run.lines
        assert parked.free.tokens == 1_000 - run.state.spent.tokens
        call = parked.parked[0].call
        assert run.resume() == ["RunResumed", "RunExhausted"], "nothing has changed"
        assert run.resume(add_tokens=1_000) == ["RunResumed", f"BudgetMoved {call}", f"ModelCallRequested {call}"]
        assert run.last(BudgetMoved).sources[0].account == "(run)"
        run.reply(call, "done")
        assert run.state.status == "ok"

    @pytest.mark.parametrize("policy", ["continue", "skip"])
    def test_a_policy_turns_exhaustion_into_refusal(self, policy: str) -> None:
        run = KernelRun(
            plan(prompt("a", "pa", max_tokens=500, on_error=policy), command("b", needs=["a"]), tokens=300),
            tools=[RUN],
        )
        told = run.start()
        assert told[:5] == ["RunStarted", "StepStarted a/1", "CallParked a/1/0", "CallRefused a/1/0", "StepFailed a"]
        assert told[5] == ("StepStarted b/1" if policy == "continue" else "StepSkipped b")
        assert run.last(StepFailed).error.kind == "budget"

    def test_a_declared_budget_is_never_topped_up(self) -> None:
        run = KernelRun(plan(prompt("a", "pa", max_tokens=200, budget=Limits(tokens=100)), tokens=10_000))
        assert run.start()[-1] == "RunExhausted"

    def test_children_together_stay_below_a_declared_budget(self) -> None:
        step = prompt("a", "pa", foreach=[1, 2, 3], max_tokens=150, budget=Limits(tokens=300), on_error="continue")
        run = KernelRun(plan(step, tokens=10_000))
        run.start()
        granted = sum(run.state.account(f"a[{i}]").granted.tokens for i in range(3))
        assert granted <= 300
        assert "ModelCallRequested a[0]/1/0" in run.lines, "siblings that have not started give what they have"

    def test_an_agents_limits_are_a_cap(self) -> None:
        run = KernelRun(
            plan(prompt("a", agent="poor", on_error="continue"), prompt("b", needs=["a"])),
            agents=[agent("poor", "look", limits=Limits(model_calls=1))],
            tools=[tool_spec("look")],
        )
        run.start()
        run.reply("a/1/0", "", asks("look"))
        told = run.returned("a/1/1", {})
        assert told[1:4] == ["CallParked a/1/2", "CallRefused a/1/2", "StepFailed a"]
        assert told[4:] == ["StepStarted b/1", "ModelCallRequested b/1/0"]


class TestPrograms:
    """Example 6."""

    def review(self) -> KernelRun:
        return KernelRun(
            plan(program("review", budget=Limits(tokens=4_000), values={"text": "T"}), tokens=9_000),
            agents=[agent("critic")],
            functions={"review": review},
        )

    def test_gather_ask_and_crash(self) -> None:
        run = self.review()
        assert run.start() == [
            "RunStarted",
            "StepStarted review/1",
            "StepAdvanced review/1",
            "LanesOpened review/1/0",
            "ModelCallRequested review/1/0.0.0",
            "ModelCallRequested review/1/0.1.0",
        ]
        assert run.state.account("review/1/0.0").granted.tokens == 2_000
        lost = run.last(ModelCallRequested).hold.tokens
        assert run.reply("review/1/0.0.0", "short", usage=(150, 50)) == ["ModelReplied review/1/0.0.0"]
        assert run.resume() == ["RunResumed", "CallLost review/1/0.1.0", "ModelCallRequested review/1/0.1.0"]
        told = run.reply("review/1/0.1.0", "risky", usage=(100, 80))
        assert told == [
            "ModelReplied review/1/0.1.0",
            "StepAdvanced review/1",
            "StepStarted review/1/1/1",
            "ModelCallRequested review/1/1/1/0",
        ]
        assert run.last(StepStarted).account.tokens == 4_000 - 200 - lost - 180
        assert run.last(StepStarted).asked_by == "review/1/1"
        assert run.reply("review/1/1/1/0", "fine", usage=(200, 100)) == [
            "ModelReplied review/1/1/1/0",
            "StepCompleted review/1/1",
            "StepAdvanced review/1",
            "StepCompleted review",
            "RunEnded",
        ]
        assert run.state.spent.tokens == 680 + lost
        assert run.state.in_doubt.tokens == lost

    def test_changed_code_stops_the_resume(self) -> None:
        run = self.review()
        run.start()
        run.functions.functions["review"] = other_review
        records = len(run.entries)
        with pytest.raises(DivergedError, match="review"):
            run.resume()
        assert len(run.entries) == records

    def test_code_that_ends_earlier_stops_the_resume(self) -> None:
        run = self.review()
        run.start()
        run.reply("review/1/0.0.0", "short")
        run.reply("review/1/0.1.0", "risky")
        run.functions.functions["review"] = short_review
        with pytest.raises(DivergedError, match="its advance 1"):
            run.resume()


async def review(ctx: Any, inputs: Any) -> Any:
    summary, risks = await ctx.gather(ctx.model("Summarise", inputs.text), ctx.model("Risks", inputs.text))
    return await ctx.ask("critic", {"summary": summary, "risks": risks})


async def other_review(ctx: Any, inputs: Any) -> Any:
    return await ctx.model("Summarise", inputs.text)


async def short_review(ctx: Any, inputs: Any) -> Any:
    await ctx.gather(ctx.model("Summarise", inputs.text), ctx.model("Risks", inputs.text))

"""Forks in the kernel: what is taken, what is executed, and where a wave stops."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenuto.core.events.call import ToolCallRequested
from tenuto.core.events.person import ApprovalRequested
from tenuto.core.events.run import RunEnded
from tenuto.core.events.step import StepReused
from tenuto.core.ids import StepPath
from tenuto.core.plan import ApprovalWork, Defaults, Plan, PlanWork, Repeat, Step, WaitWork
from tenuto.core.reuse import is_left_out
from tenuto.core.tools import Grants
from tenuto.testing.builders import agent, command, plan, program, prompt, tool_spec
from tenuto.testing.kernel import KernelRun, asks
from tenuto.testing.nested_plans import nested_plan, nested_run, nested_world
from tenuto.testing.world import play, step, waiting

RUN = tool_spec("run", "workspace")
WRITE = tool_spec("write_file", "workspace")
TOOLS = (RUN, WRITE, tool_spec("deploy", "once"))
OUTSIDE = Grants(network=True)


def diamond(*, b: str = "Write b", more: Sequence[Step] = ()) -> Plan:
    joined = prompt("join", "Combine ${{ steps.b.output }}", agent="editor", needs=["a", "b", "c"])
    return plan(command("a"), prompt("b", b, agent="editor"), command("c"), joined, *more)


def run_of(of: Plan, parent: KernelRun | None = None, **options: Any) -> KernelRun:
    options.setdefault("agents", [agent("editor", "write_file", "deploy")])
    run = KernelRun(of, tools=TOOLS, parent=parent, run="f1" if parent else "r3", **options)
    run.start()
    return run


def first_run() -> KernelRun:
    run = run_of(diamond())
    run.returned("c/1/0", tree="Tc")
    run.reply("b/1/0", "", asks("write_file", path="b.md"))
    run.returned("b/1/1", {}, tree="Tb")
    run.returned("a/1/0", tree="Ta")
    run.reply("b/1/2", "text of b")
    run.merged("join/0/0", "Tm")
    run.reply("join/1/0", "combined")
    assert run.state.status == "ok"
    return run


class TestDiamond:
    """Example 7."""

    def test_an_unchanged_plan_is_taken_whole(self) -> None:
        parent = first_run()
        fork = run_of(diamond(), parent)
        assert fork.lines == [
            "RunForked",
            "StepReused a",
            "StepReused b",
            "StepReused c",
            "MergeRequested join/0/0",
        ]
        assert fork.merged("join/0/0", "Tm") == ["TreesMerged join/0/0", "StepReused join", "RunEnded"]
        assert fork.state.result == parent.state.result
        assert fork.state.outputs == parent.state.outputs
        assert fork.state.spent.tokens == 0

    def test_the_source_is_the_record_that_says_what_the_step_came_to(self) -> None:
        parent = first_run()
        fork = run_of(diamond(), parent)
        for entry in fork.entries:
            if isinstance(entry.event, StepReused):
                source = parent.entries[entry.event.source.seq].event
                assert (type(source).__name__, source.path) == ("StepCompleted", entry.event.path)  # type: ignore[union-attr]
                assert entry.event.source.run == "r3"
        grandchild = run_of(diamond(), fork, tree="T0")
        sources = [e.event.source.run for e in grandchild.entries if isinstance(e.event, StepReused)]
        assert sources == ["r3"] * 3, "however many forks ago"

    def test_only_what_changed_is_executed_and_the_wave_stops_where_the_output_is_the_same(self) -> None:
        fork = run_of(diamond(b="Write b well"), first_run())
        assert fork.lines[1:] == [
            "StepReused a",
            "StepStarted b/1",
            "ModelCallRequested b/1/0",
            "StepReused c",
        ]
        fork.reply("b/1/0", "", asks("write_file", path="b.md"))
        fork.returned("b/1/1", {}, tree="Tb")
        assert fork.reply("b/1/2", "text of b")[-2:] == ["StepCompleted b", "MergeRequested join/0/0"]
        assert fork.merged("join/0/0", "Tm")[1:] == ["StepReused join", "RunEnded"]

    @pytest.mark.parametrize(("text", "tree"), [("another text", "Tb"), ("text of b", "Tb2")])
    def test_another_output_or_tree_goes_on(self, text: str, tree: str) -> None:
        fork = run_of(diamond(b="Write b well"), first_run())
        fork.reply("b/1/0", "", asks("write_file", path="b.md"))
        fork.returned("b/1/1", {}, tree=tree)
        fork.reply("b/1/2", text)
        told = fork.merged("join/0/0", "Tm" if tree == "Tb" else "Tm2")
        assert told[1:] == ["StepStarted join/1", "ModelCallRequested join/1/0"]

    def test_a_step_is_left_out_although_nothing_changed(self) -> None:
        fork = run_of(diamond(), first_run(), leave_out=["b"])
        assert fork.lines[1:] == ["StepReused a", "StepStarted b/1", "ModelCallRequested b/1/0", "StepReused c"]
        fork.reply("b/1/0", "", asks("write_file", path="b.md"))
        fork.returned("b/1/1", {}, tree="Tb")
        fork.reply("b/1/2", "text of b")
        assert fork.merged("join/0/0", "Tm")[1:] == ["StepReused join", "RunEnded"], "descendants are taken by key"

    def test_another_starting_tree_executes_all(self) -> None:
        fork = run_of(diamond(), first_run(), tree="T9")
        assert [line for line in fork.lines if line.startswith("StepReused")] == []

    def test_a_run_under_way_gives_what_it_has(self) -> None:
        parent = run_of(diamond())
        parent.returned("c/1/0", tree="Tc")
        fork = run_of(diamond(), parent)
        assert [line for line in fork.lines if line.startswith("StepReused")] == ["StepReused c"]

    def test_a_kill_in_a_fork(self) -> None:
        fork = run_of(diamond(b="Write b well"), first_run())
        assert fork.resume() == ["RunResumed", "CallLost b/1/0", "ModelCallRequested b/1/0"]

    def test_the_reverted_change_finds_the_result_of_the_grandparent(self) -> None:
        child = run_of(diamond(b="Write b well"), first_run())
        child.reply("b/1/0", "short")
        back = run_of(diamond(), child)
        assert [line for line in back.lines if line.startswith("StepReused")] == [
            "StepReused a",
            "StepReused b",
            "StepReused c",
        ]


class TestWhatCallsAreMadeOf:
    """The step key says nothing of these, and yet other calls would be made."""

    def agents_step(self, **defaults: Any) -> Plan:
        return plan(prompt("a", agent="editor"), defaults=Defaults(**defaults))

    @pytest.mark.parametrize("defaults", [{"max_tokens": 50}, {"model": "mock:other"}])
    def test_defaults(self, defaults: dict[str, Any]) -> None:
        parent = run_of(self.agents_step())
        parent.reply("a/1/0", "done")
        assert run_of(self.agents_step(), parent).lines[1] == "StepReused a"
        assert run_of(self.agents_step(**defaults), parent).lines[1] == "StepStarted a/1"

    def test_another_agent_of_the_name(self) -> None:
        parent = run_of(self.agents_step())
        parent.reply("a/1/0", "done")
        other = [agent("editor", instructions="Be kind.")]
        assert run_of(self.agents_step(), parent, agents=other).lines[1] == "StepStarted a/1"

    def test_another_tool_that_runs_commands(self) -> None:
        of = plan(command("a"))
        parent = KernelRun(of, tools=[RUN], run="r3")
        parent.start()
        parent.returned("a/1/0")
        fork = KernelRun(of, tools=[replace(RUN, version="2")], parent=parent, run="f1")
        assert fork.start()[1] == "StepStarted a/1"

    def test_what_a_program_reached(self) -> None:
        async def step(ctx: Any, _inputs: Any) -> Any:
            return await ctx.ask("critic", "Look at this")

        asked = plan(program("p", "step"))
        functions = {"step": step}
        critic, idle = agent("critic"), agent("idle")
        parent = run_of(asked, agents=[critic, idle], functions=functions)
        parent.reply("p/1/0/1/0", "fine")
        assert parent.state.status == "ok"
        same = run_of(asked, parent, agents=[critic, agent("idle", instructions="other")], functions=functions)
        assert same.lines == ["RunForked", "StepReused p", "RunEnded"], "it did not ask the other"
        other = run_of(asked, parent, agents=[agent("critic", instructions="strict"), idle], functions=functions)
        assert other.lines[1] == "StepStarted p/1"
        assert other.state.result is None

    def test_a_child_of_a_program_is_taken(self) -> None:
        async def step(ctx: Any, inputs: Any) -> Any:
            said = await ctx.ask("critic", "Look at this")
            return f"{inputs['tone']}: {said}"

        def asked(tone: str) -> Plan:
            return plan(program("p", "step", values={"tone": tone}))

        functions = {"step": step}
        parent = run_of(asked("kind"), agents=[agent("critic")], functions=functions)
        parent.reply("p/1/0/1/0", "fine")
        fork = run_of(asked("harsh"), parent, agents=[agent("critic")], functions=functions)
        assert fork.lines == [
            "RunForked",
            "StepStarted p/1",
            "StepAdvanced p/1",
            "StepReused p/1/0",
            "StepAdvanced p/1",
            "StepCompleted p",
            "RunEnded",
        ]
        whole = run_of(asked("harsh"), agents=[agent("critic")], functions=functions)
        whole.reply("p/1/0/1/0", "fine")
        assert fork.state.result == whole.state.result

    def test_an_agent_that_took_over(self) -> None:
        def fallen(instructions: str) -> dict[str, Any]:
            return {"agents": [agent("first"), agent("second", instructions=instructions)]}

        of = plan(prompt("a", agent="first", fallback=("second",)))
        parent = run_of(of, **fallen(""))
        parent.refused("a/1/0", 400)
        parent.reply("a/2/0", "done")
        assert parent.state.status == "ok"
        assert run_of(of, parent, **fallen("")).lines[1] == "StepReused a"
        assert run_of(of, parent, **fallen("other")).lines[1] == "StepStarted a/1"


class TestContainers:
    def test_items_and_their_tree(self) -> None:
        of = plan(prompt("a", "Do ${{ item }}", foreach="${{ inputs.items }}", key="${{ item }}"))
        parent = run_of(of, inputs={"items": ["x", "y"]})
        parent.reply("a[x]/1/0", "1")
        parent.reply("a[y]/1/0", "2")
        fork = run_of(of, parent, inputs={"items": ["x", "z", "y"]})
        assert fork.lines[1:] == [
            "StepExpanded a",
            "StepReused a[x]",
            "StepStarted a[z]/1",
            "ModelCallRequested a[z]/1/0",
            "StepReused a[y]",
        ]
        fork.reply("a[z]/1/0", "3")
        assert fork.state.steps["a"].output.value == ["1", "3", "2"]  # type: ignore[index, union-attr]

    def test_iterations(self) -> None:
        def loop(most: int) -> Plan:
            return plan(prompt("a", "Go on", repeat=Repeat(max=most)))

        parent = run_of(loop(2))
        parent.reply("a#1/1/0", "1")
        parent.reply("a#2/1/0", "2")
        assert parent.state.status == "ok"
        fork = run_of(loop(2), parent, leave_out=["a#2"])
        assert fork.lines[1:] == ["StepReused a#1", "StepStarted a#2/1", "ModelCallRequested a#2/1/0"]

    def test_a_sub_plan_is_entered(self) -> None:
        def outer(text: str) -> Plan:
            inner = plan(prompt("x"), prompt("y", text, needs=["x"]))
            return plan(Step(name="do", work=PlanWork(plan=inner)))

        parent = run_of(outer("Y"))
        parent.reply("do/x/1/0", "x")
        parent.reply("do/y/1/0", "y")
        fork = run_of(outer("Z"), parent)
        assert fork.lines[1:] == [
            "StepStarted do/1",
            "StepReused do/x",
            "StepStarted do/y/1",
            "ModelCallRequested do/y/1/0",
        ]
        assert run_of(outer("Y"), parent, leave_out=["do"]).lines[2] == "StepStarted do/x/1"

    def test_a_failed_step_is_executed_again(self) -> None:
        of = plan(command("a", on_error="continue"), command("b", needs=["a"]))
        parent = run_of(of)
        parent.returned("a/1/0", {"exit_code": 1, "stderr": "", "stdout": ""}, status="error")
        parent.returned("b/1/0")
        fork = run_of(of, parent)
        assert fork.lines[1:] == ["StepStarted a/1", "ToolCallRequested a/1/0"]
        fork.returned("a/1/0", {"exit_code": 1, "stderr": "", "stdout": ""}, status="error")
        assert fork.lines[-2:] == ["StepReused b", "RunEnded"]
        assert fork.state.result == parent.state.result


class TestNarrowedView:
    """A step that reads a part of the tree does not care what became of the rest."""

    def narrow(self, first: str) -> Plan:
        return plan(
            prompt("a", first, agent="editor"),
            prompt("b", "Read", agent="editor", needs=["a"], reads=("docs/**",)),
        )

    def whole(self, first: str, *, tree: str, result: str) -> KernelRun:
        """A run in which `a` makes this tree and `b`, which sees a part of it, this one."""
        run = self.after_a(run_of(self.narrow(first)), tree=tree)
        run.merged("b/0/0", "Tdocs", whole=tree)
        run.reply("b/1/0", "", asks("write_file", path="docs/y"))
        run.returned("b/1/1", {}, tree="Tdocs-b")
        run.reply("b/1/2", "read")
        run.merged("b/0/2", result)
        assert run.state.status == "ok"
        return run

    def after_a(self, run: KernelRun, *, tree: str) -> KernelRun:
        run.reply("a/1/0", "", asks("write_file", path="x"))
        run.returned("a/1/1", {}, tree=tree)
        run.reply("a/1/2", "done")
        return run

    def fork(self, *, tree: str) -> KernelRun:
        parent = self.whole("one", tree="Ta", result="Tab")
        return self.after_a(run_of(self.narrow("two"), parent), tree=tree)

    def test_its_result_is_put_into_another_whole(self) -> None:
        fork = self.fork(tree="Ta2")
        assert fork.merged("b/0/0", "Tdocs", whole="Ta2")[1:] == ["MergeRequested b/0/2"]
        assert fork.merged("b/0/2", "Ta2b")[1:] == ["StepReused b", "RunEnded"]
        assert fork.last(StepReused).tree == "Ta2b"
        assert fork.state.tree == "Ta2b"
        full = self.whole("two", tree="Ta2", result="Ta2b")
        assert fork.state.result == full.state.result

    def test_the_merge_is_lost(self) -> None:
        fork = self.fork(tree="Ta2")
        fork.merged("b/0/0", "Tdocs", whole="Ta2")
        assert fork.resume() == ["RunResumed", "MergeRequested b/0/2"]
        assert fork.merged("b/0/2", "Ta2b")[1:] == ["StepReused b", "RunEnded"]

    def test_another_view_is_executed(self) -> None:
        fork = self.fork(tree="Ta3")
        assert fork.merged("b/0/0", "Tdocs3", whole="Ta3")[1:] == ["StepStarted b/1", "ModelCallRequested b/1/0"]


class TestOutsideEffects:
    def ship(self, line: str) -> Plan:
        return plan(command("ship", line, grants=OUTSIDE))

    def parent(self) -> KernelRun:
        run = run_of(self.ship("deploy 1"))
        run.returned("ship/1/0")
        return run

    def test_an_unchanged_one_is_taken_and_nobody_is_asked(self) -> None:
        assert run_of(self.ship("deploy 1"), self.parent()).lines == ["RunForked", "StepReused ship", "RunEnded"]

    def test_a_changed_one_asks_and_says_what_it_repeats(self) -> None:
        fork = run_of(self.ship("deploy 2"), self.parent())
        assert fork.lines[1:] == ["StepStarted ship/1", "ApprovalRequested ship/1/0"]
        asked = fork.last(ApprovalRequested)
        assert asked.repeats == "r3/ship/1/0"
        assert asked.details.value == {"command": "deploy 2"}
        assert fork.answer("ship/1/0", approved=True)[1:] == ["ToolCallRequested ship/1/0"]
        assert fork.last(ToolCallRequested).effect == "once"
        fork.returned("ship/1/0")
        assert fork.last(RunEnded).status == "ok"

    def test_a_rejected_one_fails_its_step(self) -> None:
        fork = run_of(self.ship("deploy 2"), self.parent())
        fork.answer("ship/1/0", approved=False)
        assert fork.state.status == "failed"
        assert fork.state.steps["ship"].error.kind == "rejected"  # type: ignore[index, union-attr]

    def test_a_step_that_was_never_run_does_not_ask(self) -> None:
        more = plan(command("ship", "deploy 1", grants=OUTSIDE), command("tell", "post", grants=OUTSIDE))
        fork = run_of(more, self.parent())
        assert fork.lines[1:] == ["StepReused ship", "StepStarted tell/1", "ToolCallRequested tell/1/0"]

    def test_a_call_of_an_agent_that_was_lost_asks_too(self) -> None:
        of = plan(prompt("a", agent="editor"))
        parent = run_of(of)
        parent.reply("a/1/0", "", asks("deploy", to="x"))
        fork = run_of(of, parent)
        fork.reply("a/1/0", "", asks("deploy", to="x"))
        assert fork.lines[-1] == "ApprovalRequested a/1/1"
        assert fork.last(ApprovalRequested).repeats == "r3/a/1/1"
        grandchild = run_of(of, fork)
        grandchild.reply("a/1/0", "", asks("deploy", to="x"))
        assert grandchild.last(ApprovalRequested).repeats == "r3/a/1/1", "what its grandparent did is not forgotten"


def test_an_approval_and_a_wait_are_taken_too() -> None:
    of = plan(
        Step(name="ask", work=ApprovalWork(ask="Go on?")),
        Step(name="rest", needs=("ask",), work=WaitWork(duration="1s")),
    )
    parent = run_of(of)
    parent.answer("ask/1/0", approved=True)
    parent.fire("rest/1/0")
    assert parent.state.status == "ok"
    assert run_of(of, parent).lines == ["RunForked", "StepReused ask", "StepReused rest", "RunEnded"]


def plentiful(seed: int, **fields: Any) -> KernelRun:
    """A run of a random plan in which no budget is short, so that what a step may spend depends on no other."""
    return nested_run(nested_plan(seed, budget=False), scarce=False, **fields)


def scarce(run: KernelRun) -> bool:
    return bool(run.state.spec.limited) or not run.state.ended


def played(seed: int, *, parent: KernelRun | None = None, leave_out: Sequence[str] = (), order: int = 0) -> KernelRun:
    run = plentiful(seed, parent=parent, leave_out=leave_out, run="f" if parent else "r")
    play(run, nested_world(seed), random.Random(f"{seed} {order}"))
    return run


def executed(run: KernelRun) -> set[str]:
    """The steps that were executed, without those that only contain others."""
    state = run.state
    return {
        step.path
        for step in state.steps.values()
        if step.attempt and step.expansion is None and step.loop is None and step.path not in state.blocks
    }


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=80, deadline=None)
def test_a_fork_of_an_unchanged_plan_executes_what_it_must(seed: int, data: st.DataObject) -> None:
    parent = played(seed)
    if scarce(parent):
        return
    done = sorted(path for path in executed(parent) if parent.state.steps[StepPath(path)].status == "completed")
    left_out = data.draw(st.lists(st.sampled_from(done), unique=True, max_size=3)) if done else []
    fork = played(seed, parent=parent, leave_out=left_out, order=1)
    assert (fork.state.status, fork.state.result) == (parent.state.status, parent.state.result)
    left = [StepPath(path) for path in left_out]
    again = {path for path in executed(fork) if path not in done or is_left_out(StepPath(path), left)}
    asking = {path for path in executed(fork) if any(other.startswith(f"{path}/") for other in again)}
    assert executed(fork) <= again | asking
    if parent.state.status == "ok":
        assert set(left_out) <= executed(fork)


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_any_fork_of_a_run_under_way_comes_to_what_that_would(seed: int, turns: int) -> None:
    whole = played(seed)
    if scarce(whole):
        return
    cut, world, schedule = (
        nested_run(nested_plan(seed, budget=False), run="r"),
        nested_world(seed),
        random.Random(seed),
    )
    cut.start()
    for _ in range(turns):
        under_way = waiting(cut, world)
        if under_way:
            step(cut, world, schedule.choice(under_way))
    fork = played(seed, parent=cut, order=2)
    assert (fork.state.status, fork.state.result) == (whole.state.status, whole.state.result)

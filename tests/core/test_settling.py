"""Conflicts that an agent settles, in the kernel."""

from __future__ import annotations

from tenuto.core.events.call import MergeRequested, TreesMerged
from tenuto.core.events.step import StepFailed, StepStarted
from tenuto.core.ids import Digest, Position
from tenuto.core.merging import MergeConflict, MergedTree, MergePolicy
from tenuto.testing.builders import agent, command, plan, tool_spec
from tenuto.testing.kernel import KernelRun, asks

SETTLER = agent("settler", "edit_file")
EDIT = tool_spec("edit_file", "workspace")
CLASH = MergedTree(conflicts=(MergeConflict(path="log.md", steps=("a", "b")),), marked=Digest("Tx"))


def clash(run: KernelRun, call: str) -> list[str]:
    run.commands.pop(call)
    return run.feed(TreesMerged(call=Position(call), merged=CLASH))


def join(*, tokens: int | None = None) -> KernelRun:
    policy = MergePolicy(agent="settler", kind="agent")
    steps = (command("a"), command("b"), command("j", needs=["a", "b"], merge=policy))
    run = KernelRun(plan(*steps, tokens=tokens), agents=[SETTLER], tools=[EDIT])
    run.start()
    run.returned("a/1/0", tree="Ta")
    assert run.returned("b/1/0", tree="Tb")[-1] == "MergeRequested j/0/0"
    return run


def test_the_agent_works_in_the_tree_with_the_markers() -> None:
    run = join(tokens=20_000)
    assert clash(run, "j/0/0") == ["TreesMerged j/0/0", "StepStarted j/0/0/1", "ModelCallRequested j/0/0/1/0"]
    assert run.last(StepStarted).tree == "Tx"
    run.reply("j/0/0/1/0", "", asks("edit_file", path="log.md"))
    run.returned("j/0/0/1/1", {}, tree="Ty")
    assert run.reply("j/0/0/1/2", "Both lines are kept.")[1:] == ["StepCompleted j/0/0", "MergeRequested j/0/4"]
    assert run.last(MergeRequested).settled == "Ty"
    assert run.resume()[1:] == ["MergeRequested j/0/4"], "looking is free to repeat"
    assert run.merged("j/0/4", "Ty")[1:] == ["StepStarted j/1", "ToolCallRequested j/1/0"]
    assert run.last(StepStarted).tree == "Ty"
    assert run.returned("j/1/0")[-1] == "RunEnded"


def test_markers_that_are_left_fail_the_join() -> None:
    run = join()
    clash(run, "j/0/0")
    run.reply("j/0/0/1/0", "Done, I think.")
    assert run.merged("j/0/4", None, *CLASH.conflicts)[1:] == ["StepFailed j", "RunEnded"]
    assert run.last(StepFailed).error.kind == "merge_conflict"


def test_an_agent_that_fails_fails_the_join() -> None:
    run = join()
    clash(run, "j/0/0")
    assert run.refused("j/0/0/1/0", 400)[1:] == ["StepFailed j/0/0", "StepFailed j", "RunEnded"]
    assert "the agent that settles the conflicts failed: HTTP 400" in run.last(StepFailed).error.message


def test_cancelling_reaches_the_agent() -> None:
    run = join()
    clash(run, "j/0/0")
    assert run.cancel()[1:] == ["CallLost j/0/0/1/0", "StepCancelled j/0/0", "StepCancelled j", "RunEnded"]


def test_the_children_of_a_foreach_meet_likewise() -> None:
    policy = MergePolicy(agent="settler", kind="agent")
    step = command("f", foreach=[1, 2], merge=policy)
    run = KernelRun(plan(step), agents=[SETTLER], tools=[EDIT])
    run.start()
    run.returned("f[0]/1/0", tree="Ta")
    assert run.returned("f[1]/1/0", tree="Tb")[-1] == "MergeRequested f/0/1"
    assert clash(run, "f/0/1")[1:] == ["StepStarted f/0/1/1", "ModelCallRequested f/0/1/1/0"]
    assert run.reply("f/0/1/1/0")[1:] == ["StepCompleted f/0/1", "MergeRequested f/0/4"]
    assert run.merged("f/0/4", "Ty")[1:] == ["StepCompleted f", "RunEnded"]

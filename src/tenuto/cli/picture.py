"""A run as text: header, tree of steps with shortened outputs, budget, what waits, how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tenuto.app.runs import ShownRun
from tenuto.cli.amounts import NAMES, shown_amount
from tenuto.cli.closing import next_commands
from tenuto.cli.screen import fitted as cut
from tenuto.cli.waiting import SIGNS, calls_by_step, doing
from tenuto.core.ids import StepPath
from tenuto.core.report import budget_report, grade, step_result
from tenuto.core.state import ExecutionState, StepState

__all__ = ["budget_lines", "picture", "step_lines"]

OUTPUT_CHARACTERS = 100
CHILDREN_SHOWN = 30
BAR = 24


def picture(shown: ShownRun, flag: str) -> Iterator[str]:
    """The lines of `show`."""
    state = shown.state
    plan = state.spec.plan
    yield f"{state.run}   {shown.status}"
    yield f"  plan     {plan.name}, {len(plan.steps)} step{'s' * (len(plan.steps) != 1)}" + (
        f": {cut(plan.description, 80)}" if plan.description else ""
    )
    models = sorted({p.name for p in state.spec.lock.profiles.values()})
    yield f"  models   {', '.join(models) or '-'} ({grade(state)}); seed {state.seed[:12]}; sandbox {_sandbox(state)}"
    yield f"  journal  {state.seq + 1} records, head {state.head[:16]}" + (
        f"; result {state.result[:16]}" if state.result else ""
    )
    if state.why:
        yield f"  why      {cut(state.why, 300)}"
    yield ""
    yield from step_lines(state, driven=shown.owned)
    yield ""
    yield from budget_lines(state)
    if state.outputs is not None:
        yield ""
        yield f"outputs  {cut(state.outputs.data.decode(), 400)}"
    waiting = sorted(c.position for c in state.calls.values() if c.status == "doubt")
    if waiting:
        yield ""
        yield f"waits for a decision: did {', '.join(waiting)} happen? Look outside, then say --done or --not-done"
    commands = [] if shown.owned else [c for c in next_commands(state, flag) if not c.startswith("tenuto show")]
    if commands:
        yield ""
        yield "next"
        yield from (f"  {command}" for command in commands)


def _sandbox(state: ExecutionState) -> str:
    return state.spec.lock.sandbox or "not needed"


def step_lines(state: ExecutionState, *, driven: bool) -> Iterator[str]:
    """The tree of steps, in plan order. `driven`: an engine is at work on the run."""
    calls = calls_by_step(state)
    words = {path: doing(step, calls, driven=driven) for path, step in state.steps.items()}
    children: dict[str, list[StepState]] = {}
    for step in sorted(state.steps.values(), key=lambda s: s.order):
        children.setdefault(_parent(step), []).append(step)
    yield from _branch(state, children, words, "", "")


def _parent(step: StepState) -> str:
    if step.parent is not None:
        return step.parent
    return "" if step.asked_by is None else step.asked_by.rsplit("/", 2)[0]


def _branch(
    state: ExecutionState,
    children: dict[str, list[StepState]],
    words: Mapping[StepPath, str],
    parent: str,
    indent: str,
) -> Iterator[str]:
    steps = children.get(parent, [])
    for step in steps[:CHILDREN_SHOWN]:
        yield indent + _step_line(state, step, words[step.path], parent)
        if step.error is not None:
            yield f"{indent}    {step.error.kind}: {cut(step.error.message, 200)}"
        elif step.output is not None and not (step.expansion is not None and step.path in children):
            yield f"{indent}    {cut(step.output.data.decode(), OUTPUT_CHARACTERS)}"
        yield from _branch(state, children, words, step.path, indent + "  ")
    if len(steps) > CHILDREN_SHOWN:
        rest = steps[CHILDREN_SHOWN:]
        done = sum(step.ended for step in rest)
        yield f"{indent}  ... and {len(rest)} more, {done} of them ended"


def _step_line(state: ExecutionState, step: StepState, word: str, parent: str) -> str:
    told = step_result(state, step)
    name = step.path.removeprefix(parent) if step.parent is not None else step.path
    parts = [f"{SIGNS[word]} {name}", word]
    if told.agent:
        parts.append(str(told.agent))
    if step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if told.spent is not None and told.spent.tokens:
        parts.append(f"{told.spent.tokens:,} tokens")
    if told.spent is not None and told.spent.usd_micros:
        parts.append(shown_amount("usd_micros", told.spent.usd_micros))
    return "  ".join(parts)


def budget_lines(state: ExecutionState) -> Iterator[str]:
    """A bar for every limit: spent, reserved, free; and what is spent without a limit."""
    found = budget_report(state)
    limit, reserved, spent = found["limit"], found["reserved"], found["spent"]
    for name, cap in limit.items():
        used, held = spent.get(name, 0), reserved.get(name, 0)
        yield (
            f"{NAMES[name]:<13}  {bar(used, held, cap)}  {shown_amount(name, used)} spent, "
            f"{shown_amount(name, held)} reserved, of {shown_amount(name, cap)}"
        )
    free = [f"{shown_amount(n, a)} {NAMES[n]}" for n, a in spent.items() if n not in limit and a]
    if free:
        yield f"{'also spent':<13}  {', '.join(free)}"
    for hold in found["in_doubt"]:
        amounts = ", ".join(f"{shown_amount(n, a)} {NAMES[n]}" for n, a in hold.items() if n in NAMES and a)
        yield f"{'in doubt':<13}  {hold['call']} (try {hold['try']}): {amounts or 'nothing'}"


def bar(spent: int, reserved: int, cap: int) -> str:
    """`████▒▒░░`: spent, reserved, free."""
    if cap <= 0:
        return "█" * BAR
    full = min(BAR, round(BAR * spent / cap))
    held = min(BAR - full, round(BAR * reserved / cap))
    return "█" * full + "▒" * held + "░" * (BAR - full - held)

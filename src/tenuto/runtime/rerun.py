"""Running Python programs again against what they were told, on resume and replay.

A program's own state is not stored; its requests and their outcomes are. Run again with the same outcomes in the
same order it must ask the same, else its code (or something it imports) has changed: DivergedError.
"""

from __future__ import annotations

from tenuto.core.advances import advance_digest, said
from tenuto.core.ids import Digest, StepPath
from tenuto.core.plan import UsesWork, every_step
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.core.scope import step_scope
from tenuto.core.state import ExecutionState, ProgramFrame, StepState
from tenuto.errors import DivergedError, UsageError
from tenuto.ports.programs import Program, ProgramSource
from tenuto.runtime.context import Inputs
from tenuto.runtime.programs import RunningProgram

__all__ = ["changed_code", "program_inputs", "rerun_programs"]

_PUT_BACK = "something it imports has changed; put it back, or start a new run"


def program_inputs(state: ExecutionState, step: StepState) -> Inputs:
    """What `f(ctx, inputs)` gets: the step's values, `item` and `key` in a `foreach`, `last` and `iteration` in a
    `repeat`."""
    scope = step_scope(state, step)
    inputs = Inputs(scope["with"])
    inputs.update((name, scope[name]) for name in ("item", "key", "iteration") if name in scope)
    if "last" in scope:
        inputs["last"] = dict(scope["last"])
    return inputs


def rerun_programs(
    state: ExecutionState, source: ProgramSource | None, redactor: Redactor = NOTHING_SECRET
) -> dict[StepPath, RunningProgram]:
    """The programs of all unfinished steps, brought to where they stood. Nothing is recorded.

    DivergedError where the code of a step that has not ended is another than the lock's, begun or not.
    """
    for name, part in every_step(state.spec.plan):
        if source is not None and isinstance(part.work, UsesWork) and not _is_over(state, name):
            _require_same(name, part.work.target, source.load(part.work.target), state.spec.lock.code.get(name))
    programs: dict[StepPath, RunningProgram] = {}
    for step in state.steps.values():
        if isinstance(step.frame, ProgramFrame) and not step.ended:
            programs[step.path] = _rerun(state, step, step.frame, source, redactor)
    return programs


def _rerun(
    state: ExecutionState, step: StepState, frame: ProgramFrame, source: ProgramSource | None, redactor: Redactor
) -> RunningProgram:
    spec = state.compiled(step)
    if source is None:
        raise UsageError(f"this engine was given no source of programs for {spec.target}")
    program = source.load(spec.target)
    _require_same(step.path, spec.target, program, state.spec_of(step).lock.code.get(step.name))
    running = RunningProgram(
        program,
        path=step.path,
        attempt=step.attempt,
        inputs=program_inputs(state, step),
        seed=state.seed,
        at_us=frame.started_at,
        guarded=state.spec.lock.guarded,
    )
    advances = [running.start()]
    advances.extend(running.feed(fed) for fed in frame.fed)
    now = [a for a in advances if said(a)]
    for number, (digest, advance) in enumerate(zip(frame.advances, now, strict=False)):
        if advance_digest(redactor.event(advance)) != digest:
            raised = "" if advance.raised is None else f": it raises {advance.raised.message}"
            raise DivergedError(
                f"step {step.path} ({spec.target}) asks something else than it did (its advance {number}){raised}",
                where=advance.at or program.where,
                fix=_PUT_BACK,
            )
    if len(now) != len(frame.advances):
        how = "more" if len(now) > len(frame.advances) else "less"
        raise DivergedError(
            f"step {step.path} ({spec.target}) asks {how} often than it did", where=program.where, fix=_PUT_BACK
        )
    return running


def changed_code(step: str, target: str, program: Program, recorded: Digest | None) -> str:
    """One line on a step whose code is not the recorded one."""
    known = "none" if recorded is None else recorded[:12]
    return (
        f"the code of step {step} ({target}) has changed since the run started: "
        f"recorded {known}, now {program.code[:12]}"
    )


def _require_same(step: str, target: str, program: Program, recorded: Digest | None) -> None:
    if program.code != recorded:
        raise DivergedError(
            changed_code(step, target, program, recorded),
            where=program.where,
            fix="put the old code back to resume, or start a new run",
        )


def _is_over(state: ExecutionState, name: str) -> bool:
    """Whether a step of the plan, or one that it is within, has ended."""
    parts = name.split("/")
    within = (state.steps.get(StepPath("/".join(parts[:n]))) for n in range(1, len(parts) + 1))
    return any(step is not None and step.ended for step in within)

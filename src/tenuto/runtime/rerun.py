"""Running Python programs again against what they were told, on resume and replay.

A program's own state is not stored; its requests and their outcomes are. Run again with the same outcomes in the
same order it must ask the same, else its code (or something it imports) has changed: DivergedError.
"""

from __future__ import annotations

from tenuto.core.advances import advance_digest, said
from tenuto.core.ids import StepPath
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.core.scope import step_scope
from tenuto.core.state import ExecutionState, ProgramFrame, StepState
from tenuto.errors import DivergedError, UsageError
from tenuto.ports.programs import ProgramSource
from tenuto.runtime.context import Inputs
from tenuto.runtime.programs import RunningProgram

__all__ = ["program_inputs", "rerun_programs"]


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
    """The programs of all unfinished steps, brought to where they stood. Nothing is recorded."""
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
    if program.code != state.spec_of(step).lock.code.get(step.name):
        raise DivergedError(
            f"the code of {spec.target} has changed since the run started",
            where=program.where,
            fix="put the old code back to resume, or start a new run",
        )
    running = RunningProgram(
        program,
        path=step.path,
        attempt=step.attempt,
        inputs=program_inputs(state, step),
        seed=state.seed,
        at_us=frame.started_at,
    )
    advances = [running.start()]
    advances.extend(running.feed(fed) for fed in frame.fed)
    now = [a for a in advances if said(a)]
    for number, (digest, advance) in enumerate(zip(frame.advances, now, strict=False)):
        if advance_digest(redactor.event(advance)) != digest:
            raise DivergedError(
                f"step {step.path} asks something else than it did (its advance {number})",
                where=advance.at or program.where,
                fix="something it imports has changed; put it back, or start a new run",
            )
    if len(now) != len(frame.advances):
        raise DivergedError(
            f"step {step.path} asks {'more' if len(now) > len(frame.advances) else 'less'} often than it did",
            where=program.where,
            fix="something it imports has changed; put it back, or start a new run",
        )
    return running

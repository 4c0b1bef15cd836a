"""Python programs in a replay: run again where their locked source can be imported, left unchecked elsewhere."""

from __future__ import annotations

from tenuto.core.advances import said
from tenuto.core.decide import waits_for_program
from tenuto.core.events.program import StepAdvanced
from tenuto.core.ids import StepPath
from tenuto.core.state import ExecutionState, ProgramFrame
from tenuto.errors import UsageError
from tenuto.ports.programs import ProgramSource
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.rerun import changed_code, program_inputs

__all__ = ["ReplayedPrograms"]


class ReplayedPrograms:
    """The programs of a run that is replayed. `changed` lets code run that is not the recorded one."""

    def __init__(self, source: ProgramSource | None, *, changed: bool) -> None:
        self._source = source
        self._changed = changed
        self._running: dict[StepPath, RunningProgram | None] = {}
        self.unchecked: dict[str, str] = {}
        """Steps whose program could not be run again: for each a line on what is not as recorded, and where."""

    def advances(self, state: ExecutionState, path: StepPath) -> list[StepAdvanced]:
        """What the program of a step says now to what it was told; nothing where it cannot be run again."""
        frame = state.steps[path].frame
        if not isinstance(frame, ProgramFrame):
            return []
        advances: list[StepAdvanced] = []
        if path not in self._running or not (frame.advances or frame.fed):
            program = self._running[path] = self._load(state, path)
            if program is not None:
                advances.append(program.start())
        program = self._running[path]
        if program is None:
            return []
        while program.told < len(frame.fed):
            advances.append(program.feed(frame.fed[program.told]))
        recorded = [advance for advance in advances if said(advance)]
        return advances[-1:] if not recorded and waits_for_program(state) else recorded

    def is_unchecked(self, path: StepPath) -> bool:
        """Whether the step has a program that could not be run again."""
        return path in self._running and self._running[path] is None

    def close(self) -> None:
        for program in self._running.values():
            if program is not None:
                program.close()

    def _load(self, state: ExecutionState, path: StepPath) -> RunningProgram | None:
        step = state.steps[path]
        spec = state.spec_of(step)
        target, recorded = spec.step(step.name).target, spec.lock.code.get(step.name)
        if self._source is None:
            self.unchecked[step.name] = f"step {step.name}: there is nowhere to look for {target}"
            return None
        try:
            program = self._source.load(target)
        except UsageError as error:
            self.unchecked[step.name] = f"step {step.name}: {error}"
            return None
        if program.code != recorded and not self._changed:
            self.unchecked[step.name] = f"{program.where}: {changed_code(step.name, target, program, recorded)}"
            return None
        return RunningProgram(
            program,
            path=path,
            attempt=step.attempt,
            inputs=program_inputs(state, step),
            seed=state.seed,
            at_us=state.at,
            guarded=state.spec.lock.guarded,
        )

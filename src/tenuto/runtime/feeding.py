"""What feeds a replay: recorded inputs go to the kernel, recorded outcomes to programs, in the journal's order."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tenuto.core.events.program import StepAdvanced, TimerFired
from tenuto.core.events.run import RunStarted
from tenuto.core.evolve import start
from tenuto.core.ids import StepPath
from tenuto.core.records import Record, is_input
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState, ProgramFrame
from tenuto.core.turn import Turn, take
from tenuto.runtime.compared import started_today
from tenuto.runtime.comparing import Comparison
from tenuto.runtime.divergence import Divergence, DivergenceFoundError, another_record, first_other_ask
from tenuto.runtime.loading import collector_paused
from tenuto.runtime.recorded_plan import RecordedPlan
from tenuto.runtime.replayed_programs import ReplayedPrograms

__all__ = ["Feed"]


class Feed:
    """One replay. Every input goes in as recorded, and what the kernel derives from it is compared."""

    def __init__(
        self, comparison: Comparison, spec: RunSpec, programs: ReplayedPrograms, recorded: RecordedPlan | None
    ) -> None:
        self._comparison = comparison
        self._programs = programs
        self._recorded = recorded
        self._state: ExecutionState = start(spec)

    async def first_difference(self) -> Divergence | None:
        """Replay until something differs, or to the end of the journal."""
        try:
            with collector_paused():
                while not self._comparison.is_over:
                    await self._turn(await self._comparison.read())
        except DivergenceFoundError as error:
            return error.divergence
        finally:
            self._programs.close()
        return None

    async def _turn(self, record: Record) -> None:
        event: Any = record.event
        if not is_input(event):
            raise self._stray(record, "the record stands where the kernel derives nothing more")
        if self._recorded is not None:
            self._recorded.take(event, record.at, self._comparison.upcoming, self._comparison.as_recorded)
        turn = self._take(record)
        if self._recorded is not None:
            self._recorded.hold_against(turn)
        for number, entry in enumerate(turn.entries):
            await self._comparison.compare(entry, self._state, is_first=number == 0)
        self._state = turn.state
        for path in dict.fromkeys(turn.state.fed):
            for advance in self._programs.advances(self._state, path):
                await self._expect(advance)
            if self._programs.is_unchecked(path):
                await self._pass_over(path)

    def _take(self, record: Record) -> Turn:
        event: Any = record.event
        call = getattr(event, "call", None)
        unknown = call is not None and call not in self._state.calls
        if isinstance(event, TimerFired):
            unknown = event.timer not in self._state.timers
        if isinstance(event, StepAdvanced):
            step = self._state.steps.get(event.path)
            unknown = step is None or not isinstance(step.frame, ProgramFrame)
        if unknown:
            raise self._stray(record, "the outcome belongs to a call that is not made now")
        before = self._comparison.before
        if before is not None and isinstance(event, RunStarted):
            event = started_today(event, before, self._state.spec)
        return take(self._state, event, at=record.at, recorded=self._comparison.as_recorded)

    async def _pass_over(self, path: StepPath) -> None:
        """Take what an unchecked program said as it stands: what others said in this turn comes after it."""
        if self._comparison.is_over:
            return
        event = self._comparison.peek().event
        if isinstance(event, StepAdvanced) and event.path == path:
            await self._turn(await self._comparison.read())

    async def _expect(self, advance: StepAdvanced) -> None:
        """The next record must say what the program says now."""
        if self._comparison.is_over:
            return  # the process ended before this advance was recorded
        record = await self._comparison.read()
        event = record.event
        if not isinstance(event, StepAdvanced) or replace(event, at="") != replace(advance, at=""):
            call: str | None = None
            if isinstance(event, StepAdvanced) and event.path == advance.path:
                what = "the program asks something else than it did"
                call = first_other_ask(event, advance)
            else:
                what = "the program asks where the journal has another record"
            before = self._comparison.before
            raise another_record(self._state, before, record.seq, event, advance, what, call=call)
        await self._turn(record)

    def _stray(self, record: Record, what: str) -> DivergenceFoundError:
        return another_record(self._state, self._comparison.before, record.seq, record.event, None, what)

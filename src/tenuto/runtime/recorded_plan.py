"""A run under the plan that was recorded, kept beside the same run under another plan.

It knows what each call asked for then, beyond what its record holds, for as long as this kernel makes the recorded
records of the recorded plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tenuto.core.commands import Command, intent
from tenuto.core.events import Input
from tenuto.core.evolve import start
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.core.turn import Entry, Recorded, Turn, take

__all__ = ["RecordedPlan", "Requests"]


class Requests(NamedTuple):
    """What stands behind one record: the command as it was and as it is now, each with its plan."""

    recorded: Command
    current: Command
    before: RunSpec
    after: RunSpec


class RecordedPlan:
    """The recorded side of a replay against another plan."""

    def __init__(self, spec: RunSpec) -> None:
        self._state: ExecutionState | None = start(spec)
        self._asked: dict[int, Command] = {}
        self._was_asked: dict[int, Command] = {}

    @property
    def spec(self) -> RunSpec | None:
        """The recorded plan; None once this kernel makes something else of it than was recorded."""
        return None if self._state is None else self._state.spec

    def take(self, event: Input, at: int, upcoming: Callable[[int], list[bytes]], as_recorded: Recorded) -> None:
        """Take an input as it was taken then. `upcoming` gives the bodies of so many records, from its own on."""
        self._was_asked = {}
        if self._state is None:
            return
        turn = take(self._state, event, at=at, recorded=as_recorded)
        if upcoming(len(turn.entries)) != [entry.body for entry in turn.entries]:
            self._state = None
            return
        self._state = turn.state
        asked = _by_intent(turn)
        found = ((entry.seq, asked.get(id(entry.event))) for entry in turn.entries)
        self._was_asked = {seq: command for seq, command in found if command is not None}

    def hold_against(self, turn: Turn) -> None:
        """The same turn under the other plan."""
        self._asked = _by_intent(turn)

    def command(self, entry: Entry) -> Command | None:
        """What an entry of the other plan's turn asks for."""
        return self._asked.get(id(entry.event))

    def requests(self, entry: Entry, after: RunSpec) -> Requests | None:
        """Both sides of an entry, where both are known."""
        old, new = self._was_asked.get(entry.seq), self.command(entry)
        if old is None or new is None or self._state is None:
            return None
        return Requests(old, new, self._state.spec, after)


def _by_intent(turn: Turn) -> dict[int, Command]:
    return {id(intent(command)): command for command in turn.commands}

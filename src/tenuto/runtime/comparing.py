"""What compares in a replay: the journal as it stands, record by record, with what the kernel makes now."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tenuto.core.canonical import parse
from tenuto.core.commands import CallModel
from tenuto.core.events import Event
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.ids import Digest, RunId
from tenuto.core.records import GENESIS, Record, absent, decode, fill, is_input, older_form
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.core.turn import Entry
from tenuto.errors import DamagedStoreError
from tenuto.ports.journal import StoredRecord
from tenuto.runtime.compared import as_data, carried, essence, same_request
from tenuto.runtime.contents import Contents
from tenuto.runtime.divergence import DivergenceFoundError, another_record, unequal
from tenuto.runtime.loading import checked
from tenuto.runtime.recorded_plan import RecordedPlan

__all__ = ["Comparison"]


class Comparison:
    """Where a replay stands in its journal. Records are read, chain checked, or compared with what is made now.

    Against another plan (`recorded` is given) what only follows from the change may differ, and whole requests are
    compared. Methods raise DamagedStoreError where stored bytes are not what was written.
    """

    def __init__(
        self, run: RunId, rows: list[StoredRecord], contents: Contents, recorded: RecordedPlan | None
    ) -> None:
        self._run = run
        self._rows = rows
        self._contents = contents
        self._recorded = recorded
        self._prev = GENESIS
        self.next = 0
        """The seq of the record that is compared next."""

    @property
    def is_over(self) -> bool:
        return self.next >= len(self._rows)

    @property
    def before(self) -> RunSpec | None:
        """The recorded plan, in a replay against another one."""
        return None if self._recorded is None else self._recorded.spec

    def upcoming(self, count: int) -> list[bytes]:
        """The bodies of the next records, as many as there are."""
        return [row.body for row in self._rows[self.next : self.next + count]]

    def as_recorded(self, seq: int, head: Digest, body: bytes) -> tuple[Digest, bytes]:
        """A record that is made now as it stands in the journal, where that says the same in an older version."""
        stored = self._rows[seq].body if seq < len(self._rows) else body
        older = None if stored == body else older_form(stored, body)
        return (head, body) if older is None else (older, stored)

    def peek(self) -> Record:
        """The next record, its long bodies left out."""
        return checked(self._run, self._rows[self.next], self._prev, self.next)

    async def read(self) -> Record:
        """The next record, its bodies filled in."""
        record = self.peek()
        missing = absent(record.event)
        if missing:
            found = dict(await self._contents.get_many(missing))
            record = replace(record, event=fill(record.event, found))
        return record

    async def compare(self, entry: Entry, state: ExecutionState, *, is_first: bool) -> None:
        """Hold what the kernel makes now against the next record, and go past it. `state` is that before its turn."""
        seq = self.next
        if seq >= len(self._rows):
            what = "the journal ends where the kernel derives another record"
            raise another_record(state, self.before, seq, None, entry.event, what)
        row = self._rows[seq]
        if row.body == entry.body:
            if row.hash != entry.hash:
                raise DamagedStoreError("its bytes are not what was written", where=f"run {self._run}, record {seq}")
        elif is_first and self._recorded is None:
            raise DamagedStoreError("the record is not canonical", where=f"run {self._run}, record {seq}")
        elif not is_first:
            recorded = self.peek()
            now = decode(entry.body).event  # as it is stored: long bodies by their names
            if self._recorded is None or _differs(recorded.event, now):
                raise await self._difference(recorded, entry, state)
        if self._recorded is not None:
            sides = self._recorded.requests(entry, state.spec)
            if sides is not None and not same_request(*sides):
                old, new = carried(sides.recorded, sides.before), carried(sides.current, sides.after)
                raise unequal(state, self.before, seq, entry.event, old, new)
        self._prev = row.hash
        self.next += 1

    async def _difference(self, recorded: Record, entry: Entry, state: ExecutionState) -> DivergenceFoundError:
        event = decode(entry.body).event
        if is_input(recorded.event) or type(recorded.event) is not type(event):
            what = f"recorded {type(recorded.event).__name__}, now {type(event).__name__}"
            return another_record(state, self.before, entry.seq, recorded.event, entry.event, what)
        old, new = as_data(recorded.event), as_data(event)
        sides = None if self._recorded is None else self._recorded.requests(entry, state.spec)
        if sides is not None:
            old |= carried(sides.recorded, sides.before)
            new |= carried(sides.current, sides.after)
        elif isinstance(recorded.event, ModelCallRequested):
            old["messages"] = await self._messages(recorded.event.parts)
            command = None if self._recorded is None else self._recorded.command(entry)
            if isinstance(command, CallModel):
                shown = {digest: _shown(body) for digest, body in command.blobs}
                new["messages"] = [shown.get(part.digest, part.digest) for part in command.event.parts]
        return unequal(state, self.before, entry.seq, entry.event, old, new)

    async def _messages(self, parts: Any) -> list[Any]:
        wanted = [part.digest for part in parts]
        missing = set(await self._contents.missing(wanted))
        found = await self._contents.get_many([d for d in wanted if d not in missing])
        return [_shown(found[d]) if d in found else d for d in wanted]


def _differs(recorded: Event, current: Event) -> bool:
    return type(recorded) is not type(current) or essence(recorded) != essence(current)


def _shown(body: bytes) -> Any:
    try:
        return parse(body)
    except ValueError:
        return body.decode("utf-8", "replace")

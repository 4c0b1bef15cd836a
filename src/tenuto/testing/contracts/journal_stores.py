"""What the suites of journal stores share: the store under test, and records to write."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from tenuto.core.canonical import canonical, digest
from tenuto.core.ids import RunId
from tenuto.ports.clock import Clock
from tenuto.ports.journal import NO_HEAD, Fence, Head, Journal, Session, StoredRecord

__all__ = ["RUN", "JournalStores", "chained", "head_of", "read_all", "refused", "started"]

Refusal = TypeVar("Refusal", bound=BaseException)

RUN = RunId("r1")


class JournalStores(Protocol):
    """One durable store, and the means to look at it as several processes would."""

    clock: Clock

    def open(self) -> Journal:
        """Another handle on the same store, as another engine would have it."""
        ...

    async def lapse(self, session: Session) -> None:
        """Let the lease of a session run out without closing it: its process is stopped or cut off."""
        ...


async def refused(kind: type[Refusal], awaitable: Awaitable[object]) -> Refusal:
    """Await, and hand back the error of that very kind; anything else fails the test."""
    try:
        result = await awaitable
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got the result {result!r}")


def chained(count: int, *, after: Head = NO_HEAD, label: str = "x", body_bytes: int = 0) -> list[StoredRecord]:
    """`count` records that follow `after`, each naming the hash before it."""
    records: list[StoredRecord] = []
    previous = after.hash
    for seq in range(after.seq + 1, after.seq + 1 + count):
        body = canonical({"data": label + "." * body_bytes, "prev": previous, "seq": seq})
        previous = digest(body)
        records.append(StoredRecord(seq, previous, body))
    return records


def head_of(records: Sequence[StoredRecord]) -> Head:
    return Head(records[-1].seq, records[-1].hash)


async def read_all(journal: Journal, run: RunId = RUN, **bounds: Any) -> list[StoredRecord]:
    return [record async for record in journal.read(run, **bounds)]


async def started(journal: Journal, count: int = 1, run: RunId = RUN) -> tuple[Session, Fence, list[StoredRecord]]:
    session = await journal.open_session("w")
    records = chained(count)
    return session, await journal.create(run, session, records, {}), records

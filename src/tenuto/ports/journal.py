"""The journal port: append-only, totally ordered records of runs, with one writer each.

Shaped for stores on one machine and beyond: compare-and-append on (run, epoch, head), idempotent by record hash;
ownership by lease of a session, with a guarded claim that strictly raises the epoch; readers follow (run, seq).
Beside the journals a store keeps one account for each root run. It is changed by differences only, in the transaction
of the records that say why, so that runs which give and take at once neither wait for each other nor count twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from tenuto.core.ids import Digest, RunId

__all__ = [
    "NO_HEAD",
    "Answer",
    "Fence",
    "Grant",
    "Head",
    "InboxRow",
    "Journal",
    "RunEntry",
    "Session",
    "StoredRecord",
    "StoredSnapshot",
]


class Fence(NamedTuple):
    """Proof of ownership of one run, checked by the store at every append."""

    run: RunId
    epoch: int
    session: str


class Head(NamedTuple):
    """The end of a journal: last seq (-1: nothing yet) and the hash of that record."""

    seq: int
    hash: Digest


NO_HEAD = Head(-1, Digest("0" * 64))


class StoredRecord(NamedTuple):
    """A record as it is stored: canonical bytes and their SHA-256, which is the record's event id."""

    seq: int
    hash: Digest
    body: bytes


class StoredSnapshot(NamedTuple):
    """A cached fold: the state after record `seq`, whose hash is `head`. Never the truth."""

    seq: int
    head: Digest
    body: bytes


class RunEntry(NamedTuple):
    """A run as `ls` needs it: its first and last record, and whether a live session drives it.

    Where these records cannot be read `damaged` says why, and both are empty.
    """

    run: RunId
    epoch: int
    first: StoredRecord
    last: StoredRecord
    owned: bool
    damaged: str = ""


class InboxRow(NamedTuple):
    """A request of another process that waits to be taken into a run's journal."""

    run: RunId
    key: str
    body: bytes
    at_us: int


class Answer(NamedTuple):
    """Whether a request entered the inbox, and the row that holds now (the first one wins)."""

    accepted: bool
    row: InboxRow


class Grant(NamedTuple):
    """What enters or leaves the account of a root run: its id, and how much of each dimension.

    Amounts are whole and not negative (else ValueError, before anything is written); names mean nothing to a store.
    """

    root: RunId
    amounts: Mapping[str, int]


class Session(Protocol):
    """A worker's life as stores see it; runs are owned through it. Renewing costs O(1), however many runs."""

    @property
    def name(self) -> str: ...

    def safe_until_us(self) -> int:
        """The monotonic time (of the injected clock) after which no new effect may start."""
        ...

    async def close(self) -> None:
        """Give back all runs. Idempotent."""
        ...


class Journal(Protocol):
    async def open_session(self, worker: str) -> Session:
        """Begin a session; it is kept alive by the store until closed or until the process dies."""
        ...

    async def create(
        self,
        run: RunId,
        session: Session,
        records: Sequence[StoredRecord],
        blobs: Mapping[Digest, bytes],
        *,
        takes: Grant | None = None,
        gives: Grant | None = None,
    ) -> Fence:
        """Make a run with its first records, at epoch 1, owned by `session`. Atomic and durable on return.

        At most one create of a run wins: the others get RefusedRequestError. `takes` leaves the account of its root
        with these records: AccountChangedError where that has less of any dimension, and nothing is written. `gives`
        enters afterwards, as in `append`: what a run that ends with its very first records leaves over.
        """
        ...

    async def append(
        self,
        fence: Fence,
        expected: Head,
        records: Sequence[StoredRecord],
        blobs: Mapping[Digest, bytes],
        *,
        taken: Sequence[str] = (),
        gives: Grant | None = None,
        alone: bool = False,
    ) -> None:
        """Add records after `expected`, with the small blobs they name and the inbox rows they took.

        `gives` enters the account of its root with these records, once, however often the batch is appended.

        All or nothing, gap-free, durable on return (survives power loss as far as the disk honours fsync).
        Idempotent: appending the identical batch again succeeds. Raises FencedError when the run has another
        owner or epoch (final: stop the run), HeadMovedError when the head differs from `expected`, StorageError
        when the store cannot write (nothing was written). `alone` says that the caller has nothing else to do
        until this returns, so the commit may run on its thread.
        Appends of several runs that arrive together share one commit; a fenced one drops only its own records.
        """
        ...

    async def account(self, root: RunId) -> Mapping[str, int]:
        """What is free now in the account of a root run, by dimension in the order of their names.

        A dimension that was ever given is there, also with 0. Empty for a run that has given nothing: one that has
        not ended, has no limits, or ended in a store whose format had no accounts. An account outlives its run, and
        holds at most 2**62 - 1 of a dimension: what comes on top of that is lost.
        """
        ...

    def read(self, run: RunId, *, after: int = -1, upto: int | None = None) -> AsyncIterator[StoredRecord]:
        """Committed records with `after < seq <= upto`, in order, without gap. UsageError for an unknown run.

        Does not verify the chain: the reader does. Raises DamagedStoreError where the store itself sees damage:
        a gap, or an end earlier than the one it acknowledged (the `heads` note).
        """
        ...

    async def head(self, run: RunId) -> Head:
        """The committed head. UsageError for an unknown run."""
        ...

    async def runs(self) -> Sequence[RunEntry]:
        """All runs, oldest first. Deleted ones are left out; a damaged one is among them and hides no other."""
        ...

    async def claim(self, run: RunId, session: Session) -> tuple[Fence, Head]:
        """Become the owner: raises the epoch by a write guarded by (owner lapsed, old epoch), in the store's time.

        Once it returns no older epoch can append. FencedError while a live session of another owner has the run.
        """
        ...

    async def release(self, fence: Fence) -> None:
        """Give the run back. Idempotent; nothing happens when the fence is stale."""
        ...

    async def ask(self, run: RunId, key: str, body: bytes) -> Answer:
        """Put a request into the inbox of a run, durably; the first one for a key wins, also after it was taken."""
        ...

    async def asked(self, run: RunId) -> Sequence[InboxRow]:
        """The rows not yet taken, in the order in which they came."""
        ...

    async def put_snapshot(self, fence: Fence, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot in place of an older one. Need not be durable; a stale fence is ignored."""
        ...

    async def drop_snapshot(self, fence: Fence) -> None:
        """Keep none any more. A stale fence is ignored."""
        ...

    async def snapshot(self, run: RunId) -> StoredSnapshot | None:
        """The newest snapshot, or None."""
        ...

    async def put_blobs(self, blobs: Mapping[Digest, bytes]) -> None:
        """Keep small immutable blobs, durable on return. Those that exist are left alone."""
        ...

    async def blobs(self, digests: Sequence[Digest]) -> Mapping[Digest, bytes]:
        """Those of the asked blobs that exist here, each verified. DamagedStoreError names one that is not."""
        ...

    async def delete(self, fence: Fence) -> None:
        """Delete a run: a tombstone stays, so that its id is never used again. Fenced like an append.

        Accounts stay as they are: what the run took and has not given back is gone with it.
        """
        ...

    async def close(self) -> None:
        """Finish pending commits and give everything back. Idempotent."""
        ...

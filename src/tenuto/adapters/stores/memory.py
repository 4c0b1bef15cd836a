"""A journal in memory: for tests, simulation, and engines whose runs need not outlive the process.

The object is the durable store. A crash is simulated by dropping an engine, keeping the journal, and calling
`expire` for the dropped engine's session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tenuto.adapters.stores import refusals
from tenuto.adapters.stores.accounts import after_giving, after_taking, check_grants
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import StorageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import (
    NO_HEAD,
    Answer,
    Fence,
    Grant,
    Head,
    InboxRow,
    Journal,
    RunEntry,
    Session,
    StoredRecord,
    StoredSnapshot,
)

__all__ = ["InMemoryJournal"]

LEASE_TTL_US = 15_000_000


@dataclass(slots=True)
class _Run:
    epoch: int
    owner: str | None
    records: list[StoredRecord]
    inbox: dict[str, InboxRow] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    snapshot: StoredSnapshot | None = None
    deleted: bool = False

    @property
    def head(self) -> Head:
        return Head(self.records[-1].seq, self.records[-1].hash) if self.records else NO_HEAD


class _MemorySession(Session):
    def __init__(self, journal: InMemoryJournal, name: str, clock: Clock, lease_ttl_us: int) -> None:
        self._journal = journal
        self._name = name
        self._clock = clock
        self._ttl_us = lease_ttl_us
        self._ended_us: int | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def alive(self) -> bool:
        return self._ended_us is None

    def safe_until_us(self) -> int:
        return self._clock.monotonic_us() + self._ttl_us if self._ended_us is None else self._ended_us

    def end(self) -> None:
        if self._ended_us is None:
            self._ended_us = self._clock.monotonic_us()

    async def close(self) -> None:
        self._journal.give_back(self)


class InMemoryJournal(Journal):
    """Several engines may share one; each append is atomic.

    `faults` is called with the name of a point and may raise there: `create`, `append`, `claim`, `release`, `ask`,
    `read`, `put_snapshot`, `put_blobs` and `delete`, each with `:before` (nothing has happened) and, except for
    `read`, `:after` (it has happened, and the caller does not get to know). `commit_us` is how long a commit takes
    on `clock`: with it, engines see outcomes arrive while an append is under way. A session lives until it is
    closed or expired.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        lease_ttl_us: int = LEASE_TTL_US,
        faults: Callable[[str], None] | None = None,
        commit_us: int = 0,
    ) -> None:
        self._clock = clock
        self._ttl_us = lease_ttl_us
        self._faults = faults or _no_fault
        self._commit_us = commit_us
        self._runs: dict[RunId, _Run] = {}
        self._blobs: dict[Digest, bytes] = {}
        self._accounts: dict[RunId, dict[str, int]] = {}
        self._sessions: dict[str, _MemorySession] = {}
        self._opened = 0
        self._closed = False

    async def open_session(self, worker: str) -> Session:
        self._check_open()
        self._opened += 1
        session = _MemorySession(self, f"{worker}-{self._opened}", self._clock, self._ttl_us)
        self._sessions[session.name] = session
        return session

    def expire(self, session_name: str) -> None:
        """Let a session's lease lapse, as when its process died or slept too long: its runs may be claimed."""
        session = self._sessions.get(session_name)
        if session is not None:
            session.end()

    def give_back(self, session: _MemorySession) -> None:
        """Close a session: its runs have no owner any more. Idempotent."""
        session.end()
        self._sessions.pop(session.name, None)
        for entry in self._runs.values():
            if entry.owner == session.name:
                entry.owner = None

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
        refusals.check_batch(NO_HEAD, records)
        refusals.check_blobs(blobs)
        check_grants(takes, gives)
        await self._commit("create")
        if not self._live(session.name):
            raise refusals.session_over(session.name)
        if run in self._runs:
            raise refusals.already_exists(run)
        if takes is not None:
            self._accounts[takes.root] = after_taking(self._accounts.get(takes.root, {}), takes)
        self._give(gives)
        self._runs[run] = _Run(epoch=1, owner=session.name, records=list(records))
        self._keep(blobs)
        self._faults("create:after")
        return Fence(run, 1, session.name)

    async def append(
        self,
        fence: Fence,
        expected: Head,
        records: Sequence[StoredRecord],
        blobs: Mapping[Digest, bytes],
        *,
        taken: Sequence[str] = (),
        gives: Grant | None = None,
        alone: bool = False,  # noqa: ARG002 - there is no thread to spare here
    ) -> None:
        refusals.check_batch(expected, records)
        refusals.check_blobs(blobs)
        check_grants(gives)
        await self._commit("append")
        entry = self._owned(fence)
        if entry.head != expected:
            stored = entry.records[expected.seq + 1 : expected.seq + 1 + len(records)]
            if [r.hash for r in stored] != [r.hash for r in records]:
                raise refusals.head_moved(fence.run, expected, entry.head)
        else:
            entry.records.extend(records)
            self._give(gives)
        self._keep(blobs)
        entry.taken.update(key for key in taken if key in entry.inbox)
        self._faults("append:after")

    async def account(self, root: RunId) -> Mapping[str, int]:
        self._check_open()
        return dict(sorted(self._accounts.get(root, {}).items()))

    async def read(self, run: RunId, *, after: int = -1, upto: int | None = None) -> AsyncIterator[StoredRecord]:
        self._faults("read:before")
        entry = self._entry(run)
        end = len(entry.records) if upto is None else min(upto + 1, len(entry.records))
        for record in entry.records[max(after + 1, 0) : end]:
            yield record

    async def head(self, run: RunId) -> Head:
        return self._entry(run).head

    async def runs(self) -> Sequence[RunEntry]:
        return [
            RunEntry(run, entry.epoch, entry.records[0], entry.records[-1], self._live(entry.owner))
            for run, entry in self._runs.items()
            if not entry.deleted
        ]

    async def claim(self, run: RunId, session: Session) -> tuple[Fence, Head]:
        await self._commit("claim")
        entry = self._entry(run)
        if not self._live(session.name):
            raise refusals.session_over(session.name)
        if entry.owner is not None and entry.owner != session.name and self._live(entry.owner):
            raise refusals.owned_elsewhere(run, entry.owner)
        entry.epoch += 1
        entry.owner = session.name
        self._faults("claim:after")
        return Fence(run, entry.epoch, session.name), entry.head

    async def release(self, fence: Fence) -> None:
        await self._commit("release")
        entry = self._runs.get(fence.run)
        if entry is not None and (entry.epoch, entry.owner) == (fence.epoch, fence.session):
            entry.owner = None
        self._faults("release:after")

    async def ask(self, run: RunId, key: str, body: bytes) -> Answer:
        await self._commit("ask")
        entry = self._entry(run)
        row = entry.inbox.get(key)
        accepted = row is None
        if row is None:
            row = entry.inbox[key] = InboxRow(run, key, body, self._clock.now_us())
        self._faults("ask:after")
        return Answer(accepted, row)

    async def asked(self, run: RunId) -> Sequence[InboxRow]:
        entry = self._entry(run)
        return [row for key, row in entry.inbox.items() if key not in entry.taken]

    async def put_snapshot(self, fence: Fence, snapshot: StoredSnapshot) -> None:
        await self._commit("put_snapshot")
        entry = self._runs.get(fence.run)
        if entry is not None and (entry.epoch, entry.owner) == (fence.epoch, fence.session):
            entry.snapshot = snapshot
        self._faults("put_snapshot:after")

    async def drop_snapshot(self, fence: Fence) -> None:
        entry = self._runs.get(fence.run)
        if entry is not None and (entry.epoch, entry.owner) == (fence.epoch, fence.session):
            entry.snapshot = None

    async def snapshot(self, run: RunId) -> StoredSnapshot | None:
        return self._entry(run).snapshot

    async def put_blobs(self, blobs: Mapping[Digest, bytes]) -> None:
        refusals.check_blobs(blobs)
        await self._commit("put_blobs")
        self._keep(blobs)
        self._faults("put_blobs:after")

    async def blobs(self, digests: Sequence[Digest]) -> Mapping[Digest, bytes]:
        self._check_open()
        found = {name: self._blobs[name] for name in digests if name in self._blobs}
        for name, body in found.items():
            if digest(body) != name:
                raise refusals.damaged_blob(name)
        return found

    async def delete(self, fence: Fence) -> None:
        await self._commit("delete")
        entry = self._runs.get(fence.run)
        if entry is None or not entry.deleted:
            entry = self._owned(fence)
            self._runs[fence.run] = _Run(epoch=entry.epoch, owner=None, records=[], deleted=True)
        self._faults("delete:after")

    async def close(self) -> None:
        for session in list(self._sessions.values()):
            self.give_back(session)
        self._closed = True

    async def _commit(self, what: str) -> None:
        self._check_open()
        self._faults(f"{what}:before")
        if self._commit_us:
            await self._clock.sleep(self._commit_us)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the journal was closed", fix="open it again")

    def _live(self, session_name: str | None) -> bool:
        session = self._sessions.get(session_name) if session_name else None
        return session is not None and session.alive

    def _entry(self, run: RunId) -> _Run:
        self._check_open()
        entry = self._runs.get(run)
        if entry is None:
            raise refusals.unknown_run(run)
        if entry.deleted:
            raise refusals.deleted_run(run)
        return entry

    def _owned(self, fence: Fence) -> _Run:
        entry = self._runs.get(fence.run)
        if entry is None:
            raise refusals.unknown_run(fence.run)
        if entry.deleted or (entry.epoch, entry.owner) != (fence.epoch, fence.session):
            raise refusals.fenced(fence, entry.epoch, entry.owner)
        return entry

    def _give(self, grant: Grant | None) -> None:
        if grant is not None:
            self._accounts[grant.root] = after_giving(self._accounts.get(grant.root, {}), grant)

    def _keep(self, blobs: Mapping[Digest, bytes]) -> None:
        for name, body in blobs.items():
            self._blobs.setdefault(name, body)


def _no_fault(point: str) -> None:
    del point

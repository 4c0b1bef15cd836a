"""Whatever runs give, take, repeat and are refused: what was granted is free, held or spent, in every store."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.ids import RunId
from tenuto.errors import AccountChangedError, FencedError, HeadMovedError
from tenuto.ports.journal import Fence, Grant, Head, Journal, StoredRecord
from tenuto.testing.clock import ManualClock
from tenuto.testing.contracts.journal import chained, head_of, refused

T = TypeVar("T")

DIMENSIONS = ("model_calls", "tokens")
AMOUNTS = st.dictionaries(st.sampled_from(DIMENSIONS), st.integers(0, 6))


@dataclass
class Live:
    fence: Fence
    head: Head
    root: RunId
    held: Mapping[str, int]


@dataclass
class Ended:
    fence: Fence
    head: Head
    batch: list[StoredRecord]
    gave: Grant


class Accounts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self.journal, self.other = self.opened()
        self.session = self.do(self.journal.open_session("w"))
        self.free: dict[RunId, Counter[str]] = {}
        self.roots: list[RunId] = []
        self.live: list[Live] = []
        self.ended: list[Ended] = []
        self.granted: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.made = 0

    def opened(self) -> tuple[Journal, Journal]:
        """Two handles on one new store."""
        raise NotImplementedError

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def teardown(self) -> None:
        self.do(self.journal.close())
        self.do(self.other.close())
        self._runner.close()

    def next_run(self) -> RunId:
        self.made += 1
        return RunId(f"run-{self.made}")

    def pick(self, draw: int) -> Live:
        return self.live[draw % len(self.live)]

    def rest(self, live: Live, spent: Mapping[str, int]) -> dict[str, int]:
        """What is left when as much of `spent` was spent as there was."""
        used = {d: min(n, spent.get(d, 0)) for d, n in live.held.items()}
        self.spent.update(used)
        return {d: n - used[d] for d, n in live.held.items()}

    @rule(budget=AMOUNTS)
    def start(self, budget: dict[str, int]) -> None:
        run = self.next_run()
        fence = self.do(self.journal.create(run, self.session, chained(1), {}))
        self.roots.append(run)
        self.live.append(Live(fence, head_of(chained(1)), run, budget))
        self.granted.update(budget)

    @precondition(lambda self: self.roots)
    @rule(draw=st.integers(0, 99), asked=AMOUNTS, other=st.booleans())
    def fork(self, draw: int, asked: dict[str, int], other: bool) -> None:
        run, root = self.next_run(), self.roots[draw % len(self.roots)]
        store = self.other if other else self.journal
        making = store.create(run, self.session, chained(1), {}, takes=Grant(root, asked))
        free = self.free.setdefault(root, Counter())
        if any(free[d] < n for d, n in asked.items()):
            self.do(refused(AccountChangedError, making))
            return
        self.live.append(Live(self.do(making), head_of(chained(1)), root, asked))
        free.subtract(asked)

    @precondition(lambda self: self.roots)
    @rule(draw=st.integers(0, 99), asked=AMOUNTS, spent=AMOUNTS)
    def fork_that_ends_at_once(self, draw: int, asked: dict[str, int], spent: dict[str, int]) -> None:
        run, root = self.next_run(), self.roots[draw % len(self.roots)]
        free = self.free.setdefault(root, Counter())
        enough = all(free[d] >= n for d, n in asked.items())
        used = {d: min(n, spent.get(d, 0)) for d, n in asked.items()}
        gives = Grant(root, {d: n - used[d] for d, n in asked.items()})
        making = self.journal.create(run, self.session, chained(1), {}, takes=Grant(root, asked), gives=gives)
        if not enough:
            self.do(refused(AccountChangedError, making))
            return
        self.do(making)
        free.subtract(used)
        self.spent.update(used)

    @precondition(lambda self: self.live)
    @rule(draw=st.integers(0, 99), spent=AMOUNTS, alone=st.booleans())
    def end(self, draw: int, spent: dict[str, int], alone: bool) -> None:
        live = self.pick(draw)
        self.live.remove(live)
        gives = Grant(live.root, self.rest(live, spent))
        batch = chained(1, after=live.head)
        self.do(self.journal.append(live.fence, live.head, batch, {}, gives=gives, alone=alone))
        self.free.setdefault(live.root, Counter()).update(gives.amounts)
        self.ended.append(Ended(live.fence, live.head, batch, gives))

    @precondition(lambda self: len(self.live) > 1)
    @rule(spent=AMOUNTS, fenced=st.integers(0, 99))
    def end_all_at_once(self, spent: dict[str, int], fenced: int) -> None:
        """In one commit, with one among them that another owner fences."""
        loser = self.pick(fenced)
        newer, _ = self.do(self.journal.claim(loser.fence.run, self.session))
        winners = [live for live in self.live if live is not loser]
        gives = [Grant(live.root, self.rest(live, spent)) for live in winners]
        batches = [chained(1, after=live.head) for live in winners]

        async def together() -> None:
            last = chained(1, after=loser.head)
            await asyncio.gather(
                *(
                    self.journal.append(live.fence, live.head, batch, {}, gives=grant)
                    for live, batch, grant in zip(winners, batches, gives, strict=True)
                ),
                refused(
                    FencedError,
                    self.journal.append(loser.fence, loser.head, last, {}, gives=Grant(loser.root, loser.held)),
                ),
            )

        self.do(together())
        for live, batch, grant in zip(winners, batches, gives, strict=True):
            self.free.setdefault(live.root, Counter()).update(grant.amounts)
            self.ended.append(Ended(live.fence, live.head, batch, grant))
        loser.fence = newer
        self.live = [loser]

    @precondition(lambda self: self.ended)
    @rule(draw=st.integers(0, 99))
    def end_again(self, draw: int) -> None:
        """An engine that did not hear of its commit."""
        over = self.ended[draw % len(self.ended)]
        self.do(self.journal.append(over.fence, over.head, over.batch, {}, gives=over.gave))

    @precondition(lambda self: self.live)
    @rule(draw=st.integers(0, 99))
    def end_of_a_journal_that_moved_on(self, draw: int) -> None:
        live = self.pick(draw)
        stale = live.head
        batch = chained(1, after=stale)
        self.do(self.journal.append(live.fence, stale, batch, {}))
        live.head = head_of(batch)
        late = chained(1, after=stale, label="late")
        gives = Grant(live.root, live.held)
        self.do(refused(HeadMovedError, self.journal.append(live.fence, stale, late, {}, gives=gives)))

    @invariant()
    def accounts_are_as_expected(self) -> None:
        for root in self.roots:
            found = self.do(self.other.account(root))
            assert {d: n for d, n in found.items() if n} == {
                d: n for d, n in self.free.get(root, Counter()).items() if n
            }

    @invariant()
    def nothing_is_lost_or_made(self) -> None:
        total = Counter(self.spent)
        for live in self.live:
            total.update(live.held)
        for root in self.roots:
            total.update(self.do(self.other.account(root)))
        assert {d: n for d, n in total.items() if n} == {d: n for d, n in self.granted.items() if n}


class MemoryAccounts(Accounts):
    def opened(self) -> tuple[Journal, Journal]:
        journal = InMemoryJournal(ManualClock())
        return journal, journal


class SqliteAccounts(Accounts):
    def opened(self) -> tuple[Journal, Journal]:
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "journal.db"
        return SqliteJournal(path, SystemClock(), renewing=False), SqliteJournal(path, SystemClock(), renewing=False)

    def teardown(self) -> None:
        super().teardown()
        self._folder.cleanup()


TestMemoryAccounts = MemoryAccounts.TestCase
TestMemoryAccounts.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSqliteAccounts = SqliteAccounts.TestCase
TestSqliteAccounts.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)

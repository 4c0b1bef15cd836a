"""The accounts of root runs: given once, taken once, whoever races and whatever is repeated."""

from __future__ import annotations

import asyncio

from tenuto.core.ids import RunId
from tenuto.errors import AccountChangedError, FencedError, HeadMovedError, RefusedRequestError, UsageError
from tenuto.ports.journal import Fence, Grant, Head, Journal, Session
from tenuto.testing.contracts.journal_stores import RUN, JournalStores, chained, head_of, refused, started

__all__ = ["JournalAccountsContract"]

REST = Grant(RUN, {"usd_micros": 7, "tokens": 1_000})


def tokens(amount: int, root: RunId = RUN) -> Grant:
    return Grant(root, {"tokens": amount})


async def given(journal: Journal, grant: Grant = REST) -> tuple[Session, Fence, Head]:
    """A run that has one more record, and with it has given back."""
    session, fence, records = await started(journal)
    batch = chained(1, after=head_of(records))
    await journal.append(fence, head_of(records), batch, {}, gives=grant)
    return session, fence, head_of(batch)


class JournalAccountsContract:
    """Part of `JournalContract`."""

    async def test_what_a_run_gives_back_is_free_for_others(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        assert await journal.account(RUN) == {}
        _, fence, head = await given(journal)
        assert list((await other.account(RUN)).items()) == [("tokens", 1_000), ("usd_micros", 7)]
        assert await other.account(RunId("r2")) == {}
        await journal.append(
            fence, head, chained(1, after=head), {}, gives=Grant(RUN, {"tokens": 5, "tool_calls": 0})
        )
        assert await other.account(RUN) == {"tokens": 1_005, "tool_calls": 0, "usd_micros": 7}

    async def test_a_new_run_takes_from_the_account_of_its_root(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        await given(journal)
        session = await other.open_session("w")
        takes = Grant(RUN, {"tokens": 600, "usd_micros": 7, "model_calls": 0})
        await other.create(RunId("f1"), session, chained(1), {}, takes=takes)
        assert await journal.account(RUN) == {"tokens": 400, "usd_micros": 0}
        await other.create(RunId("f2"), session, chained(1), {}, takes=tokens(400))
        assert await journal.account(RUN) == {"tokens": 0, "usd_micros": 0}
        assert await journal.account(RunId("f1")) == {}

    async def test_a_run_that_wants_more_than_is_left_is_not_made(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, _, _ = await given(journal)
        fork = RunId("f1")
        for takes in (
            tokens(1_001),
            tokens(2**80),
            Grant(RUN, {"tokens": 1, "usd_micros": 8}),
            Grant(RUN, {"tokens": 1, "model_calls": 1}),
            tokens(1, root=RunId("r2")),
        ):
            error = await refused(
                AccountChangedError, journal.create(fork, session, chained(1), {}, takes=takes, gives=tokens(9))
            )
            assert takes.root in str(error)
        assert await journal.account(RUN) == REST.amounts
        await refused(UsageError, journal.head(fork))
        await journal.create(fork, session, chained(1), {}, takes=tokens(1_000))

    async def test_a_refused_create_takes_nothing(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, _, _ = await given(journal)
        await refused(RefusedRequestError, journal.create(RUN, session, chained(1), {}, takes=tokens(1)))
        await session.close()
        await refused(FencedError, journal.create(RunId("f1"), session, chained(1), {}, takes=tokens(1)))
        assert await journal.account(RUN) == REST.amounts

    async def test_a_run_that_ends_with_its_first_records_gives_at_once(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, _, _ = await given(journal)
        await journal.create(RunId("f1"), session, chained(1), {}, takes=tokens(900), gives=tokens(880))
        assert await journal.account(RUN) == {"tokens": 980, "usd_micros": 7}
        # What it gives is not there yet when it takes.
        await refused(
            AccountChangedError,
            journal.create(RunId("f2"), session, chained(1), {}, takes=tokens(981), gives=tokens(981)),
        )
        await journal.create(RunId("r2"), session, chained(1), {}, gives=tokens(3, root=RunId("r2")))
        assert await journal.account(RunId("r2")) == {"tokens": 3}

    async def test_an_identical_batch_gives_once(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        batch = chained(2, after=head_of(records))
        for again in range(4):
            await journal.append(fence, head_of(records), batch, {}, gives=tokens(10), alone=again % 2 == 0)
        later = chained(1, after=head_of(batch))
        await journal.append(fence, head_of(batch), later, {}, gives=tokens(1))
        await journal.append(fence, head_of(records), batch, {}, gives=tokens(10))
        assert await journal.account(RUN) == {"tokens": 11}

    async def test_a_refused_append_gives_nothing(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        head = head_of(records)
        wrong = Head(5, head.hash)
        await refused(HeadMovedError, journal.append(fence, wrong, chained(1, after=wrong), {}, gives=tokens(1)))
        newer, _ = await journal.claim(RUN, session)
        batch = chained(1, after=head)
        await refused(FencedError, journal.append(fence, head, batch, {}, gives=tokens(1)))
        assert await journal.account(RUN) == {}
        await journal.append(newer, head, batch, {}, gives=tokens(1))
        await refused(FencedError, journal.append(fence, head, batch, {}, gives=tokens(1)))
        assert await journal.account(RUN) == {"tokens": 1}

    async def test_grants_of_appends_that_share_a_commit_add_up(self, stores: JournalStores) -> None:
        journal = stores.open()
        session = await journal.open_session("w")
        runs = [RunId(f"run-{n}") for n in range(8)]
        fences = [await journal.create(run, session, chained(1), {}) for run in runs]
        head = head_of(chained(1))
        await journal.claim(runs[3], session)
        results = await asyncio.gather(
            *(
                journal.append(fence, head, chained(2, after=head), {}, gives=tokens(1 << n))
                for n, fence in enumerate(fences)
            ),
            return_exceptions=True,
        )
        assert [type(r) for r in results] == [FencedError if n == 3 else type(None) for n in range(8)]
        assert await journal.account(RUN) == {"tokens": 0b1111_0111}

    async def test_of_those_that_want_the_same_rest_one_wins(self, stores: JournalStores) -> None:
        handles = [stores.open() for _ in range(4)]
        await given(handles[0])
        sessions = [await handle.open_session("w") for handle in handles]
        for number, (fitting, amount) in enumerate([(1, 600), (2, 200), (0, 1)]):
            results = await asyncio.gather(
                *(
                    handle.create(RunId(f"f{number}{n}{twin}"), session, chained(1), {}, takes=tokens(amount))
                    for n, (handle, session) in enumerate(zip(handles, sessions, strict=True))
                    for twin in "ab"
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(result, Fence) for result in results) == fitting, results
            assert all(isinstance(result, (Fence, AccountChangedError)) for result in results)
        assert await handles[0].account(RUN) == {"tokens": 0, "usd_micros": 7}
        assert len(await handles[0].runs()) == 4

    async def test_giving_and_taking_at_once_loses_nothing(self, stores: JournalStores) -> None:
        givers, takers = stores.open(), stores.open()
        session, fence, head = await given(givers, tokens(0))
        taking = await takers.open_session("w")
        taken = 0

        async def give() -> None:
            nonlocal head
            for _ in range(10):
                batch = chained(1, after=head)
                await givers.append(fence, head, batch, {}, gives=tokens(3))
                head = head_of(batch)

        async def take() -> None:
            nonlocal taken
            for number in range(10):
                try:
                    await takers.create(RunId(f"f{number}"), taking, chained(1), {}, takes=tokens(2))
                except AccountChangedError:
                    await asyncio.sleep(0)
                else:
                    taken += 2

        await asyncio.gather(give(), take())
        assert await givers.account(RUN) == {"tokens": 30 - taken}
        assert session.name != taking.name

    async def test_an_account_outlives_its_run(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, _ = await given(journal)
        await journal.delete(fence)
        assert await stores.open().account(RUN) == REST.amounts
        await journal.create(RunId("f1"), session, chained(1), {}, takes=REST)
        assert set((await journal.account(RUN)).values()) == {0}

    async def test_what_is_no_grant_is_a_bug_of_the_caller(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        head = head_of(records)
        for wrong in (tokens(-1), Grant(RunId("\ud800"), {"tokens": 1}), Grant(RUN, {"\ud800": 1})):
            await refused(ValueError, journal.append(fence, head, chained(1, after=head), {}, gives=wrong))
            await refused(ValueError, journal.create(RunId("f1"), session, chained(1), {}, takes=wrong))
            await refused(ValueError, journal.create(RunId("f1"), session, chained(1), {}, gives=wrong))
        assert await journal.head(RUN) == head
        assert await journal.account(RUN) == {}
        assert await journal.account(RunId("\ud800")) == {}

    async def test_an_account_holds_no_more_than_it_can(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, head = await given(journal, tokens(2**62 - 2))
        for amount in (1, 1, 2**63, 10**40):
            batch = chained(1, after=head)
            await journal.append(fence, head, batch, {}, gives=tokens(amount))
            head = head_of(batch)
            assert await journal.account(RUN) == {"tokens": 2**62 - 1}

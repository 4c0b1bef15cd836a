"""The stored records of a run, to their end or on and on until the run has ended, whichever process drives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from tenuto.app.build import Store
from tenuto.app.runs import is_owned
from tenuto.core.events.run import RunEnded
from tenuto.core.ids import RunId
from tenuto.core.records import GENESIS, Record
from tenuto.ports.journal import StoredRecord
from tenuto.runtime.loading import checked

__all__ = ["Read", "read_records"]

PAUSE_MIN_S = 0.05
PAUSE_MAX_S = 0.5
"""Between two looks at the store: short after news, and twice a second at most where nothing happens."""
IDLE_S = 2.0
"""So long nothing happens before it is asked whether anybody drives the run."""


class Read(NamedTuple):
    """A record, as it is stored and decoded; the bodies it only names are not read."""

    stored: StoredRecord
    record: Record


async def read_records(
    store: Store, run: RunId, *, follow: bool = False, idle: Callable[[], None] | None = None
) -> AsyncIterator[Read]:
    """Records in order, each checked against the chain; with `follow` until the run has ended.

    `idle` is called once for each time that the run stands still with nobody driving it. DamagedStoreError at the
    first record that is not what was written, before it is given out.
    """
    after, prev = -1, GENESIS
    pause, still = PAUSE_MIN_S, 0.0
    asked = False
    while True:
        news = False
        async for row in store.journal.read(run, after=after):
            record = checked(run, row, prev, after + 1)
            after, prev, news = record.seq, record.hash, True
            yield Read(row, record)
            if isinstance(record.event, RunEnded):
                return
        if not follow:
            return
        pause, still = (PAUSE_MIN_S, 0.0) if news else (min(PAUSE_MAX_S, pause * 1.5), still + pause)
        asked = asked and not news
        if idle is not None and still >= IDLE_S and not asked:
            asked = True
            if not await is_owned(store, run):
                idle()
        await asyncio.sleep(pause)

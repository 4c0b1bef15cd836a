"""Not an engine: the least a durable engine in plain Python has to do, to show what this machine can give right now.

One row a step (stdlib JSON, chained SHA-256), SQLite in WAL mode with synchronous=FULL, one commit per loop turn; a
step returns only when its row is on disk.

    python bench/floor.py W1|W2|W3 [--n STEPS]
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from typing import Any

from measure import Bench, Stopwatch, payload

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
Row = tuple[str, int, bytes, str]


class Log:
    """Rows that arrive in one turn of the loop share a commit."""

    def __init__(self, directory: str) -> None:
        self._connection = sqlite3.connect(os.path.join(directory, "floor.db"), isolation_level=None)
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=full")
        self._connection.execute(
            "create table ev(run text, seq integer, h blob, b text, primary key(run, seq)) without rowid"
        )
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self.commits = 0

    def append(self, row: Row) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._flush)
        future: asyncio.Future[None] = loop.create_future()
        self._pending.append((row, future))
        return future

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self._connection.execute("begin immediate")
        self._connection.executemany("insert into ev values (?,?,?,?)", [row for row, _ in pending])
        self._connection.execute("commit")
        self.commits += 1
        for _, future in pending:
            future.set_result(None)


class Run:
    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self._name = name
        self._seq = 0
        self._hash = b""

    async def step(self, i: int) -> dict[str, Any]:
        seq, self._seq = self._seq, self._seq + 1
        result = payload(i)
        body = _encode(result)
        self._hash = hashlib.sha256(self._hash + body.encode()).digest()
        await self._log.append((self._name, seq, self._hash, body))
        return result


async def chain(run: Run, n: int) -> None:
    for i in range(n):
        await run.step(i)


async def measure(bench: Bench) -> None:
    log = Log(bench.directory)
    steps = bench.n or {"W1": 1_000, "W2": 1_000, "W3": 20}[bench.workload]
    run = Run(log, "r")
    with Stopwatch() as watch:
        if bench.workload == "W1":
            await chain(run, steps)
        elif bench.workload == "W2":
            await run.step(0)
            await asyncio.gather(*(run.step(i) for i in range(steps)))
            await run.step(0)
        else:
            await asyncio.gather(*(chain(Run(log, f"r{k}"), steps) for k in range(100)))
            steps *= 100
    bench.emit(steps, watch, commits=log.commits)


if __name__ == "__main__":
    made = Bench.from_arguments("floor", "W1 W2 W3", ["full-inline"])
    try:
        asyncio.run(measure(made))
    finally:
        made.close()

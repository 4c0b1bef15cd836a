"""tenuto's own cost on W1 to W5: a mock model answers 2 KB at once, every step is durable with fsync.

python bench/workloads.py W1 [--variant sqlite|memory] [--n STEPS]
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from measure import Bench, Stopwatch, payload, size_of

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.events.step import StepStarted
from tenuto.core.ids import RunId
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, Usage
from tenuto.core.plan import Plan, PromptWork, Step
from tenuto.core.records import GENESIS, Record
from tenuto.core.snapshots import write_snapshot
from tenuto.ports.journal import Journal, StoredRecord, StoredSnapshot
from tenuto.ports.model import ModelProvider
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.loading import checked, collector_paused, fold, load_records, load_spec, load_state
from tenuto.runtime.replay import replay

MARKS: list[float] = []
CONTENT = [0]


class InstantModel(ModelProvider):
    """Answers the payload of the step that asks, at once."""

    def profile(self, model: str) -> ModelProfile:
        return ModelProfile(name=model, grade="exact")

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: object = None) -> ModelReply:
        asked = request.messages[-1].text
        answer = json.dumps(payload(int(asked.rsplit(" ", 1)[1])), separators=(",", ":"))
        CONTENT[0] += len(asked) + len(answer)
        return ModelReply(text=answer, usage=Usage(input_tokens=20, output_tokens=377))

    async def close(self) -> None:
        return


def chain(n: int) -> Plan:
    steps = tuple(
        Step(name=f"s{i}", needs=(f"s{i - 1}",) if i else (), work=PromptWork(text=f"Do step {i}")) for i in range(n)
    )
    return Plan(name="chain", steps=steps)


def fan(n: int) -> Plan:
    names = [f"s{i}" for i in range(n)]
    first = Step(name="first", work=PromptWork(text="Do step 0"))
    middle = tuple(
        Step(name=name, needs=("first",), work=PromptWork(text=f"Do step {i}")) for i, name in enumerate(names)
    )
    return Plan(
        name="fan", steps=(first, *middle, Step(name="last", needs=tuple(names), work=PromptWork(text="Do step 1")))
    )


def engine(bench: Bench) -> tuple[PlanExecutionEngine, Journal]:
    clock = SystemClock()
    root = Path(bench.directory) / "store"
    root.mkdir(exist_ok=True)
    journal: Journal = (
        InMemoryJournal(clock) if bench.variant == "memory" else SqliteJournal(root / "journal.db", clock)
    )
    made = PlanExecutionEngine(
        journal=journal,
        artifacts=FileArtifactStore(root / "artifacts"),
        models=InstantModel(),
        tools=Toolbox([]),
        workspace=lambda blobs: TreeWorkspace(blobs, root / "pool"),
        clock=clock,
        max_parallel=100_000,
    )
    return made, journal


def window_ms(at: int, width: int = 50) -> float | None:
    """Median ms between the starts of the `width` steps that end at step `at`."""
    if at >= len(MARKS):
        return None
    gaps = [MARKS[k] - MARKS[k - 1] for k in range(max(1, at - width + 1), at + 1)]
    return round(statistics.median(gaps) * 1e3, 4)


def mark(_event: StepStarted) -> None:
    MARKS.append(time.perf_counter())


async def measure(bench: Bench) -> None:
    repo = Path(bench.directory) / "repo"
    repo.mkdir()
    (repo / "a.txt").write_text("hello\n")
    made, journal = engine(bench)
    tree = await made.workspace.capture(repo)
    store = os.path.join(bench.directory, "store")
    if bench.workload in ("W1", "W4"):
        n = bench.n or {"W1": 1_000, "W4": 5_000}[bench.workload]
        made.bus.on(StepStarted, mark)
        with Stopwatch() as watch:
            state = await made.execute(chain(n), tree, "r")
        assert state.status == "ok", state.why
        await made.close()
        await journal.close()
        marks = {str(k): window_ms(k) for k in (100, 300, 999, 2000, 4999)}
        stored = size_of(store)
        bench.emit(n, watch, bytes_per_step=round(stored / n), x_content=round(stored / CONTENT[0], 2), ms_at=marks)
    elif bench.workload == "W2":
        n = bench.n or 1_000
        with Stopwatch() as watch:
            state = await made.execute(fan(n), tree, "r")
        assert state.status == "ok", state.why
        bench.emit(n, watch)
    elif bench.workload == "W3":
        runs, n = 100, bench.n or 20
        plan = chain(n)
        with Stopwatch() as watch:
            states = await asyncio.gather(*(made.execute(plan, tree, f"r{k}") for k in range(runs)))
        assert all(state.status == "ok" for state in states)
        bench.emit(runs * n, watch)
    elif bench.workload == "W5":
        await measure_loading(bench, made, journal, tree)
    await made.close()
    await journal.close()


def chained(run: RunId, rows: Sequence[StoredRecord]) -> list[Record]:
    """The rows as records, each in its place in the chain."""
    records: list[Record] = []
    prev = GENESIS
    for seq, row in enumerate(rows):
        record = checked(run, row, prev, seq)
        prev = record.hash
        records.append(record)
    return records


async def measure_loading(bench: Bench, made: PlanExecutionEngine, journal: Journal, tree: str) -> None:
    """Load a run of n finished steps: read, chain and fold, then a checked replay.

    `fold_records_per_s` is all of it: reading the store, the chain, compiling the plan, the fold. What of that is
    chain and fold alone, of rows at hand and for a plan that is compiled, is `chain_and_fold_records_per_s`.
    """
    n = bench.n or 5_000
    await made.execute(chain(n), tree, "r")
    run = RunId("r")
    with Stopwatch() as watch:
        _, records = await load_records(journal, made.contents, run)
        loaded = time.perf_counter() - watch._wall
        spec = await load_spec(made.contents, records[0])
        state = fold(spec, records)
    del records
    rows = [row async for row in journal.read(run)]
    with Stopwatch() as alone, collector_paused():
        assert fold(spec, chained(run, rows)).head == state.head
    with Stopwatch() as replayed:
        report = await replay(journal, made.contents, run)
    assert report.identical
    assert state.status == "ok"
    fence, _ = await journal.claim(run, await journal.open_session("bench"))
    await journal.put_snapshot(fence, StoredSnapshot(state.seq, state.head, write_snapshot(state)))
    with Stopwatch() as reopened:
        again = await load_state(journal, made.contents, run)
    assert write_snapshot(again) == write_snapshot(state)
    bench.emit(
        n,
        watch,
        records=len(rows),
        read_and_chain_s=round(loaded, 4),
        fold_records_per_s=round(len(rows) / watch.wall),
        chain_and_fold_records_per_s=round(len(rows) / alone.wall),
        replay_records_per_s=round(len(rows) / replayed.wall),
        from_snapshot_s=round(reopened.wall, 4),
    )


if __name__ == "__main__":
    made_bench = Bench.from_arguments("tenuto", "W1 W2 W3 W4 W5", ["sqlite", "memory"])
    try:
        asyncio.run(measure(made_bench))
    finally:
        made_bench.close()

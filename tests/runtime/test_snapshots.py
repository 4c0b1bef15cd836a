"""A run that is opened from a snapshot is the one that its journal tells of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tenuto.core.budget import Limits
from tenuto.core.ids import RunId
from tenuto.core.snapshots import read_snapshot, write_snapshot
from tenuto.core.state import ExecutionState
from tenuto.runtime import driver
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import fold, load_records, load_spec, load_state
from tenuto.testing.mixed import mixed_plan, mixed_simulation
from tenuto.testing.sim import Simulation

PLAN = msgspec.structs.replace(mixed_plan(2, 1), budget=Limits(tokens=2_000_000))


@pytest.fixture(autouse=True)
def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SNAPSHOT_FIRST", 5)


def whole_and_short(sim: Simulation) -> tuple[ExecutionState, ExecutionState, bool]:
    """The state by all records, by the snapshot and what follows, and whether there was one."""

    async def both(engine: Any) -> tuple[ExecutionState, ExecutionState, bool]:
        contents: Contents = engine.contents
        _, records = await load_records(sim.journal, contents, sim.run_id)
        whole = fold(await load_spec(contents, records[0]), records)
        short = await load_state(sim.journal, contents, sim.run_id)
        return whole, short, await sim.journal.snapshot(sim.run_id) is not None

    found: tuple[ExecutionState, ExecutionState, bool] = sim.play(both)
    return found


def test_a_killed_run_goes_on_from_its_snapshot() -> None:
    result = mixed_simulation(plan=PLAN).run().result
    seen = 0
    for number in range(2, mixed_simulation(plan=PLAN).run().seq):
        sim = mixed_simulation(plan=PLAN)
        if not sim.crash_at_append(number, after=True):
            break
        whole, short, there = whole_and_short(sim)
        assert msgspec.structs.replace(short, spec=whole.spec) == whole
        seen += there
        assert sim.resume().result == result
    assert seen > 3


def test_an_ended_run_keeps_none() -> None:
    sim = mixed_simulation(plan=PLAN)
    state = sim.run()
    whole, short, there = whole_and_short(sim)
    assert not there
    assert whole.head == short.head == state.head


def test_a_changed_snapshot_is_refused() -> None:
    sim = mixed_simulation(plan=PLAN)
    state = sim.run()
    body = write_snapshot(state)
    assert read_snapshot(state.spec, body).result == state.result
    for place in range(0, len(body), len(body) // 40):
        changed = bytearray(body)
        changed[place] ^= 1
        try:
            found = read_snapshot(state.spec, bytes(changed))
        except ValueError:
            continue
        assert found.result == state.result, "only what is said beside the state may have changed"
    assert sim.run_id == RunId(state.run)

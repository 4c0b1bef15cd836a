"""What a newer tenuto wrote is refused with exit 7 and a line that names it, and nothing in the store changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.ids import Digest, RunId
from tenuto.core.logic import LOGIC_VERSION
from tenuto.ports.journal import Head, StoredRecord

Tenuto = Callable[..., Any]
PLAN = "tenuto: 1\nsteps: { a: { run: 'exit 1' } }\n"
NEWER: dict[str, tuple[Callable[[Any], None], str, int]] = {
    "logic": (lambda r: r["data"].update(logic=LOGIC_VERSION + 7), f"logic {LOGIC_VERSION + 7}", 0),
    "version": (lambda r: r.update(version=9), "a StepStarted of version 9; this tenuto knows version 1 of it", 1),
    "kind": (lambda r: r.update(kind="StepAdmired"), "a StepAdmired of version 1; this tenuto does not know", 1),
}


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


async def written(store: Path, rows: list[bytes]) -> None:
    """A run `newer` in a store, whatever its records say."""
    journal = SqliteJournal(store / "journal.db", SystemClock())
    records = [StoredRecord(seq, Digest(hashlib.sha256(row).hexdigest()), row) for seq, row in enumerate(rows)]
    session = await journal.open_session("newer")
    fence = await journal.create(RunId("newer"), session, records[:1], {})
    await journal.append(fence, Head(0, records[0].hash), records[1:], {})
    await session.close()
    await journal.close()


def chained(rows: list[dict[str, Any]]) -> list[bytes]:
    found: list[bytes] = []
    for row in rows:
        row["prev"] = hashlib.sha256(found[-1]).hexdigest() if found else "0" * 64
        found.append(json.dumps(row, sort_keys=True, separators=(",", ":")).encode())
    return found


@pytest.mark.parametrize("what", NEWER)
def test_a_run_of_a_newer_tenuto_is_refused_and_left_as_it_is(tenuto: Tenuto, project: Path, what: str) -> None:
    (project / "p.plan.yaml").write_text(PLAN)
    assert tenuto("run", "p.plan.yaml", "--run", "old", "--no-sandbox").code == 1
    rows = [json.loads(line) for line in tenuto("events", "old").out.splitlines()][:2]
    change, said, at = NEWER[what]
    rows[0]["data"]["run"] = "newer"
    change(rows[at])
    store = project / ".tenuto"
    asyncio.run(written(store, chained(rows)))
    before = files(store)
    for verb in (
        ("resume", "newer"),
        ("show", "newer"),
        ("replay", "newer"),
        ("verify", "newer"),
    ):
        refused = tenuto(*verb)
        assert refused.code == 7, (verb, refused)
        assert said in refused.err
        assert "Traceback" not in refused.err
        assert files(store) == before, verb
    assert tenuto("show", "old").code == 0

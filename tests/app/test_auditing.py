"""Audits against servers that repeat themselves, that drift, and that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.local import LocalModelAdapter
from tenuto.adapters.models.local_weights import INSTALL, find_weights
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.app.auditing import Auditor, audits_told, keep_audit, newest_audit
from tenuto.core.audits import Audit
from tenuto.core.models import Price
from tenuto.errors import UsageError
from tenuto.testing.model_server import CountingModelServer


async def measured(
    *faults: str, drifts: bool = False, limits: dict[str, int] | None = None, price: Price | None = None
) -> tuple[Audit, CountingModelServer, Auditor]:
    async with CountingModelServer(faults=faults, drifts=drifts) as server:
        adapter = OpenAIAdapter(server.base_url, clock=SystemClock())
        profile = adapter.profile("openai:m")
        if price is not None:
            from msgspec.structs import replace

            profile = replace(profile, price=price)
        auditor = Auditor(models=adapter, clock=SystemClock(), model="openai:m", profile=profile, limits=limits or {})
        try:
            return await auditor.measure(8, 4), server, auditor
        finally:
            await adapter.close()


async def test_a_server_that_repeats_itself_is_the_same_at_any_concurrency() -> None:
    audit, server, auditor = await measured()
    assert audit.told() == "8 of 8 identical at 1, 8 of 8 at 4"
    assert server.counts.distinct == 1
    assert server.counts.counted == 16 == audit.spent.model_calls
    assert audit.spent.tokens == server.counts.input_tokens + server.counts.output_tokens
    assert audit.spent.tokens <= auditor.estimate(16).tokens
    assert auditor.held.nothing


async def test_one_that_drifts_under_concurrency_is_found_out() -> None:
    audit, _, _ = await measured("slow:20%1", drifts=True)
    alone, together = audit.series
    assert (alone.same, alone.differs_at) == (8, None)
    assert together.same < 8
    assert together.distinct > 1
    assert together.differs_at == 10
    assert together.low < together.same / 8 < together.high


async def test_what_fails_for_a_while_is_asked_again_and_what_stays_broken_is_counted() -> None:
    audit, server, _ = await measured("429@1,3")
    assert [s.failed for s in audit.series] == [0, 0]
    assert server.counts.calls == 18
    audit, server, _ = await measured("500@1", limits={"tokens": 100_000})
    assert audit.spent.model_calls == 17
    assert audit.spent.tokens >= server.counts.input_tokens + server.counts.output_tokens
    audit, server, _ = await measured("400%1")
    assert (audit.series[0].answers, audit.series[0].failed, server.counts.calls) == (0, 1, 1)
    assert "scripted refusal" in audit.stopped


@pytest.mark.parametrize("limit", ["tokens", "usd_micros", "model_calls"])
async def test_no_call_is_made_that_the_budget_does_not_cover(limit: str) -> None:
    price = Price(input_micros=1_000_000, output_micros=1_000_000)
    room = 11 if limit == "model_calls" else 3_000
    audit, server, auditor = await measured(limits={limit: room}, price=price)
    assert audit.stopped == "budget"
    assert 0 < server.counts.counted < 16
    assert getattr(audit.spent, limit) <= room
    assert auditor.held.nothing


async def test_money_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="the price of openai:m is not known"):
        await measured(limits={"usd_micros": 5})


async def test_audits_are_kept_in_versions_and_the_newest_is_told(tmp_path: Path) -> None:
    audit, _, _ = await measured()
    store = FileArtifactStore(tmp_path)
    assert await newest_audit(store, "openai:m") is None
    kept = await asyncio.gather(*(keep_audit(store, audit) for _ in range(3)))
    assert sorted(entry.version for entry in kept) == [1, 2, 3]
    assert await newest_audit(store, "openai:m") == audit
    (line,) = await audits_told(store, ["mock:", "openai:m"])
    assert line.startswith("openai:m audited 20")
    assert line.endswith(": 8 of 8 identical at 1, 8 of 8 at 4")


def _present() -> bool:
    try:
        find_weights("")
    except UsageError:
        return False
    return True


@pytest.mark.local
@pytest.mark.skipif(not _present(), reason=INSTALL)
async def test_the_local_model_in_one_slot_repeats_itself_and_shared_slots_are_not_called_exact() -> None:
    adapter = LocalModelAdapter(context_tokens=1024)
    try:
        auditor = Auditor(
            models=adapter, clock=SystemClock(), model="local:", profile=adapter.profile("local:"), max_tokens=8
        )
        audit = await auditor.measure(2, 2)
        assert audit.told() == "2 of 2 identical at 1, 2 of 2 at 2"
        assert adapter.profile("local:?slots=8&cache=on").grade == "best effort"
        assert adapter.profile("local:?slots=1").grade == "exact"
        with pytest.raises(UsageError, match="no option of local models: slots=0"):
            adapter.profile("local:?slots=0")
    finally:
        await adapter.close()

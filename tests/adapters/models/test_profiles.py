"""The table of profiles: complete, dated, and the same as on the page about models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.models.profiles import find_profile, profile_entries
from tenuto.core.pinning import dropped_by
from tenuto.errors import UsageError

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


def test_every_entry_has_its_own_name_a_source_and_a_date() -> None:
    entries = [profile for _, _, profile in profile_entries()]
    assert len({profile.entry for profile in entries}) == len(entries) > 10
    for profile in entries:
        assert profile.source
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", profile.date)
        assert "max_tokens" in profile.accepts
    assert {profile.entry for profile in entries if profile.verified} == {"llama-server", "local", "local-shared"}


def test_the_page_on_models_shows_every_entry_as_it_is() -> None:
    rows = {}
    for provider, match, profile in profile_entries():
        names = ", ".join(f"`{provider}:{pattern}`" for pattern in match) or "by `profiles`"
        dropped = ", ".join(dropped_by(profile)) or "-"
        tried = "yes" if profile.verified else "unverified"
        rows[profile.entry] = (
            f"| `{profile.entry}` | {names} | {dropped} | {profile.grade} | {tried}, {profile.date} |"
        )
    page = PAGE.read_text("utf-8")
    assert [row for row in rows.values() if row not in page] == []


@pytest.mark.parametrize(
    ("model", "entry"),
    [
        ("openai:gpt-4o-mini", "openai-chat"),
        ("openai:gpt-5-mini", "openai-reasoning"),
        ("openai:gpt-5-chat-latest", "openai-chat"),
        ("openai:anything", "openai-compatible"),
        ("openai-responses:gpt-4o", "openai-responses"),
        ("openai-responses:o3", "openai-responses-reasoning"),
        ("anthropic:claude-sonnet-4-5", "anthropic"),
        ("anthropic:claude-opus-4-20250514", "anthropic"),
        ("anthropic:claude-opus-4-7", "anthropic-unpinned"),
        ("anthropic:claude-new-9", "anthropic-unpinned"),
    ],
)
def test_names_find_their_entry(model: str, entry: str) -> None:
    provider, _, plain = model.partition(":")
    assert find_profile(provider, plain, name=model).entry == entry


async def test_a_server_can_be_given_its_profile_by_name() -> None:
    adapter = OpenAIAdapter(
        "http://127.0.0.1:1/v1",
        clock=SystemClock(),
        profiles={"openai:qwen": "vllm-batch-invariant", "openai:o3": "vlm"},
    )
    assert adapter.profile("openai:qwen").grade == "pinned"
    assert adapter.profile("openai:other").entry == "openai-compatible"
    with pytest.raises(UsageError, match=r"there is no profile vlm; did you mean vllm\?"):
        adapter.profile("openai:o3")
    await adapter.close()

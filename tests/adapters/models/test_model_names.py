from __future__ import annotations

from typing import Any

import pytest

from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.models.names import ModelDirectory, split_name
from tenuto.adapters.models.script import ScriptedReply
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.errors import ModelCallError, UsageError


class Closing(LocalMockAdapter):
    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.closed = 0
        self.failure = failure

    async def close(self) -> None:
        self.closed += 1
        if self.failure:
            raise self.failure


def test_names_split_at_the_first_colon() -> None:
    assert split_name("openai:ft:x:y") == ("openai", "ft:x:y")
    assert split_name("mock:") == ("mock", "")
    for bad in ("mock", "", ":x"):
        with pytest.raises(UsageError, match="named provider:model"):
            split_name(bad)


async def test_calls_go_to_the_provider_of_the_name(ask: Any) -> None:
    models = ModelDirectory({"mock": LocalMockAdapter(), "scripted": ScriptedModel([ScriptedReply(text="s")])})
    assert models.names == ("mock", "scripted")
    assert (await models.complete(ask("scripted:x", "hi"), deadline_us=1_000_000)).text == "s"
    assert (await models.complete(ask("mock:echo", "hi"), deadline_us=1_000_000)).text == "hi"
    assert models.profile("mock:echo").name == "mock:echo"


async def test_an_unknown_provider_is_named_with_those_known(ask: Any) -> None:
    models = ModelDirectory({"mock": LocalMockAdapter(), "local": LocalMockAdapter()})
    with pytest.raises(UsageError, match="unknown provider 'gpt'; known providers: local:, mock:"):
        models.profile("gpt:5")
    with pytest.raises(ModelCallError) as caught:
        await models.complete(ask("gpt:5", "hi"), deadline_us=1_000_000)
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("bad_request", False, False)


async def test_all_are_closed_once_also_when_one_fails() -> None:
    broken, shared = Closing(RuntimeError("stuck")), Closing()
    with pytest.raises(RuntimeError, match="stuck"):
        await ModelDirectory({"a": broken, "b": shared, "c": shared}).close()
    assert (broken.closed, shared.closed) == (1, 1)

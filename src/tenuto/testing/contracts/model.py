"""What every provider of models must do.

```python
class TestMyModels(ModelContract):
    @pytest.fixture
    async def model(self):
        provider = MyModels(...)           # against a server of your own, or a recorded one
        yield ModelUnderTest(provider, "mine:small")
        await provider.close()
```

About 15 calls are made, of at most 64 tokens each.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple

from tenuto.core.canonical import digest_of
from tenuto.core.models import Message, ModelConfig, ModelReply, ModelRequest
from tenuto.errors import ModelCallError
from tenuto.ports.model import ModelProvider

__all__ = ["ModelContract", "ModelUnderTest", "model_request"]

LONG_US = 60_000_000
FINISHES = ("stop", "tool_calls", "length", "filter")


class ModelUnderTest(NamedTuple):
    """A provider, and the full name of a model that it has."""

    provider: ModelProvider
    model: str


def model_request(model: str, text: str, *, call: str = "r/s/1/0", seed: int = 7) -> ModelRequest:
    """A request as an engine makes one."""
    return ModelRequest(
        call=call,
        config=ModelConfig(max_tokens=64, model=model, seed=seed),
        fingerprint=digest_of([model, text, seed]),
        key=digest_of([call]),
        messages=(Message(role="user", text=text),),
    )


async def _ask(model: ModelUnderTest, text: str = "Say one word.", call: str = "r/s/1/0") -> ModelReply:
    return await model.provider.complete(model_request(model.model, text, call=call), deadline_us=LONG_US)


class ModelContract:
    """Override the fixture `model` (a ModelUnderTest)."""

    async def test_the_profile_is_of_the_model_and_stays_the_same(self, model: ModelUnderTest) -> None:
        profile = model.provider.profile(model.model)
        assert profile.name == model.model
        assert profile == model.provider.profile(model.model)
        assert profile.default_max_tokens > 0
        assert profile.input_overhead_tokens >= 0

    async def test_a_reply_says_how_it_ended_and_what_it_cost(self, model: ModelUnderTest) -> None:
        reply = await _ask(model)
        assert reply.text or reply.tool_calls
        assert reply.finish in FINISHES
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0

    async def test_it_costs_no_more_than_is_held_for_it(self, model: ModelUnderTest) -> None:
        """The hold is the request's UTF-8 bytes, the profile's overhead, and the longest answer."""
        text = "Say ä one word."
        reply = await _ask(model, text)
        held = len(text.encode()) + model.provider.profile(model.model).input_overhead_tokens
        assert reply.usage.input_tokens <= held
        assert reply.usage.output_tokens <= 64

    async def test_equal_requests_of_an_exact_model_get_equal_replies(self, model: ModelUnderTest) -> None:
        one, two = await _ask(model), await _ask(model)
        if model.provider.profile(model.model).grade == "exact":
            assert (one.text, one.tool_calls, one.finish) == (two.text, two.tool_calls, two.finish)

    async def test_calls_at_once_do_not_disturb_each_other(self, model: ModelUnderTest) -> None:
        replies = await asyncio.gather(*(_ask(model, f"Say {i}.", f"r/s{i}/1/0") for i in range(4)))
        again = [await _ask(model, f"Say {i}.", f"r/s{i}/1/0") for i in range(4)]
        if model.provider.profile(model.model).grade == "exact":
            assert [reply.text for reply in replies] == [reply.text for reply in again]

    async def test_what_is_told_on_the_way_is_the_reply(self, model: ModelUnderTest) -> None:
        told: list[str] = []
        asked = model_request(model.model, "Say one word.")
        reply = await model.provider.complete(asked, deadline_us=LONG_US, on_text=told.append)
        assert not told or "".join(told) == reply.text

    async def test_a_deadline_that_is_over_is_a_failed_call(self, model: ModelUnderTest) -> None:
        """Or an answer, where there is one at once; and nothing else."""
        with suppress(ModelCallError):
            reply = await model.provider.complete(model_request(model.model, "Say one word."), deadline_us=1)
            assert reply.text or reply.tool_calls

    async def test_a_call_can_be_cancelled_and_the_next_one_works(self, model: ModelUnderTest) -> None:
        asked = asyncio.ensure_future(_ask(model))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked], timeout=10)
        assert asked.done()
        assert (await _ask(model)).usage.output_tokens > 0

    async def test_closing_twice_is_well(self, model: ModelUnderTest) -> None:
        await model.provider.close()
        await model.provider.close()

"""A model without a model: answers are a pure function of a seed and the request's fingerprint."""

from __future__ import annotations

import asyncio
import functools

import msgspec

from tenuto.adapters.models.counting import tokens_of_request, tokens_of_text
from tenuto.adapters.models.draws import Draw
from tenuto.adapters.models.mock_options import MockOptions, parse_mock_name
from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.samples import sample
from tenuto.core.canonical import canonical, parse
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, Price, Served, ToolCallAsk, Usage
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["LocalMockAdapter"]


class LocalMockAdapter(ModelProvider):
    """Deterministic, seeded answers (`mock:`). Names and options are described in `mock_options`.

    An answer depends on `seed` and the request's fingerprint alone: not on call id, try, time or earlier calls,
    so two fresh runs agree. Whether a try fails depends on the try's number too, so a later try can succeed.
    With an output schema the answer is JSON valid for it; such an answer and tool calls are never cut.
    Whoever watches is told a text in one piece.

    `clock` waits out latencies (the event loop's own time without one). `options` hold where a name gives none.
    `timing_seed` changes latencies and nothing else, so that a test can vary the timing of equal answers.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: Clock | None = None,
        options: MockOptions | None = None,
        timing_seed: int = 0,
    ) -> None:
        self._seed = seed
        self._clock = clock
        self._timing_seed = timing_seed
        defaults = options if options is not None else MockOptions()
        self._parsed = functools.lru_cache(256)(lambda name: parse_mock_name(name, defaults))

    def profile(self, model: str) -> ModelProfile:
        """Everything is accepted, the grade is exact. UsageError for an option that does not exist."""
        _, options = self._parsed(split_name(model)[1])
        price = None
        if options.input_micros is not None or options.output_micros is not None:
            price = Price(
                input_micros=options.input_micros or 0,
                output_micros=options.output_micros or 0,
                source="the model's name",
            )
        return ModelProfile(name=model, grade="exact", price=price, source="tenuto", verified=True)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`."""
        try:
            name, options = self._parsed(split_name(request.config.model)[1])
        except UsageError as error:
            raise refused_name(error) from error
        await self._wait(request, options, deadline_us)
        _fail_by_plan(f"{self._seed}:{request.fingerprint}", request, options)
        reply = self._answer(name, request, options)
        if on_text is not None and reply.text:
            on_text(reply.text)
        return reply

    def _answer(self, name: str, request: ModelRequest, options: MockOptions) -> ModelReply:
        draw = Draw(f"{self._seed}:{request.fingerprint}")
        served = Served(model=request.config.model, system_fingerprint=f"mock / seed {self._seed}")
        if request.tools and _rounds(request) < options.tools:
            calls = _tool_calls(request, options.calls, draw)
            output = sum(tokens_of_text(str(call.arguments)) + tokens_of_text(call.name) for call in calls)
            return ModelReply(finish="tool_calls", served=served, tool_calls=calls, usage=_usage(request, output))
        if request.output_schema is not None:
            text = _structured(request.output_schema, draw)
            return ModelReply(served=served, text=text, usage=_usage(request, tokens_of_text(text)))
        text = (
            request.messages[-1].text
            if name == "echo" and request.messages
            else draw.text(draw.between(*options.size))
        )
        cut = text.encode()[: 4 * request.config.max_tokens].decode("utf-8", "ignore")
        return ModelReply(
            finish="stop" if cut == text else "length",
            served=served,
            text=cut,
            usage=_usage(request, tokens_of_text(cut)),
        )

    async def close(self) -> None:
        """Nothing is held."""

    async def _wait(self, request: ModelRequest, options: MockOptions, deadline_us: int) -> None:
        low, high = options.latency_ms
        if high == 0:
            return
        draw = Draw(f"{self._seed}:{self._timing_seed}:{request.fingerprint}:{request.try_number}")
        latency_us = draw.between(low * 1_000, high * 1_000)
        duration_us = min(latency_us, deadline_us)
        if self._clock is not None:
            await self._clock.sleep(duration_us)
        else:
            await asyncio.sleep(duration_us / 1_000_000)
        if latency_us > deadline_us:
            raise ModelCallError(
                f"no answer within {deadline_us // 1_000} ms", kind="timeout", sent=True, retryable=True
            )


def _fail_by_plan(seed: str, request: ModelRequest, options: MockOptions) -> None:
    if options.fail == 0:
        return
    draw = Draw(f"fail:{seed}:{request.try_number}")
    if draw.fraction() >= options.fail:
        return
    match draw.choose(options.kinds):
        case "rate_limited":
            raise ModelCallError(
                "the mock is rate limited",
                kind="rate_limited",
                sent=False,
                retryable=True,
                status=429,
                retry_after_ms=options.retry_after_ms,
            )
        case "server":
            status = draw.choose((500, 502, 503))
            raise ModelCallError(
                f"the mock failed with {status}", kind="server", sent=True, retryable=True, status=status
            )
        case _:
            raise ModelCallError("the mock timed out", kind="timeout", sent=True, retryable=True)


def _rounds(request: ModelRequest) -> int:
    return sum(1 for message in request.messages if message.role == "assistant" and message.tool_calls)


def _tool_calls(request: ModelRequest, count: int, draw: Draw) -> tuple[ToolCallAsk, ...]:
    made = []
    prefix = request.fingerprint[:8]
    for index in range(count):
        tool = draw.choose(request.tools)
        try:
            arguments = sample(parse(tool.parameters), draw)
        except ValueError as error:
            raise _unusable(f"the parameters of tool {tool.name}", error) from error
        if not isinstance(arguments, dict):
            raise _unusable(f"the parameters of tool {tool.name}", ValueError("they describe no object"))
        made.append(
            ToolCallAsk(arguments=msgspec.Raw(canonical(arguments)), id=f"call_{prefix}_{index}", name=tool.name)
        )
    return tuple(made)


def _structured(schema: msgspec.Raw, draw: Draw) -> str:
    try:
        return canonical(sample(parse(schema), draw)).decode()
    except ValueError as error:
        raise _unusable("the output schema", error) from error


def _unusable(what: str, error: ValueError) -> ModelCallError:
    return ModelCallError(
        f"the mock cannot use {what}: {error}",
        kind="bad_request",
        sent=False,
        retryable=False,
        status=400,
        fix="give a schema that some value meets, or script this answer (`scripted:FILE`)",
    )


def _usage(request: ModelRequest, output_tokens: int) -> Usage:
    """Counted the way providers count: about four bytes a token, never above what a hold reserves."""
    return Usage(
        input_tokens=tokens_of_request(request), output_tokens=max(1, min(output_tokens, request.config.max_tokens))
    )

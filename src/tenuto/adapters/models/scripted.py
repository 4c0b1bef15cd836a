"""A model that answers from a script: in tests, and by `scripted:FILE`. The format is described in `script_file`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tenuto.adapters.models.counting import tokens_of_request, tokens_of_text
from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.script import ERROR_KINDS, ScriptedFailure, ScriptedReply
from tenuto.adapters.models.script_file import read_script
from tenuto.core.canonical import canonical
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, Served, ToolCallAsk, Usage
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["ScriptedModel"]


class ScriptedModel(ModelProvider):
    """Answers each request with the first entry that fits and has answers left; refuses one that none fits.

    An entry without `times` answers for ever, so put the special ones first. A call that is repeated after a
    crash meets a new script when the process is new: use conditions, not counts, where a run is resumed.
    `calls` counts the requests taken, and `requests` keeps them, for tests.

    Constructed with `entries` it answers every name; without, the model's name is a script file
    (`scripted:answers.yaml`), looked up below `directory`, read once.
    """

    def __init__(
        self,
        entries: Sequence[ScriptedReply] | None = None,
        *,
        clock: Clock | None = None,
        directory: Path | None = None,
        profile: ModelProfile | None = None,
    ) -> None:
        self._scripts: dict[str, _Script] = {}
        self._entries = None if entries is None else _Script(entries)
        self._clock = clock
        self._directory = directory if directory is not None else Path()
        self._profile = profile
        self.requests: list[ModelRequest] = []

    @property
    def calls(self) -> int:
        """How many requests were taken so far."""
        return len(self.requests)

    def profile(self, model: str) -> ModelProfile:
        """Everything is accepted, the grade is exact. UsageError when the script file cannot be used."""
        self._script(model)
        if self._profile is not None:
            return msgspec.structs.replace(self._profile, name=model)
        return ModelProfile(name=model, grade="exact", source="tenuto", verified=True)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`."""
        try:
            script = self._script(request.config.model)
        except UsageError as error:
            raise refused_name(error) from error
        self.requests.append(request)
        entry = script.take(request)
        if entry is None:
            raise ModelCallError(
                f"no entry of the script answers this request ({_excerpt(request)})",
                kind="bad_request",
                sent=False,
                retryable=False,
                status=400,
                where=f"call {request.call}",
                fix="add an entry that fits it",
            )
        await self._wait(entry, deadline_us)
        if entry.failure is not None:
            raise _failure(entry.failure, request)
        reply = _reply(entry, request)
        if on_text is not None and reply.text:
            on_text(reply.text)
        return reply

    async def close(self) -> None:
        """Nothing is held."""

    def _script(self, model: str) -> _Script:
        if self._entries is not None:
            return self._entries
        name = split_name(model)[1]
        if name not in self._scripts:
            self._scripts[name] = _Script(read_script(self._directory / name))
        return self._scripts[name]

    async def _wait(self, entry: ScriptedReply, deadline_us: int) -> None:
        if entry.delay_ms:
            duration_us = min(entry.delay_ms * 1_000, deadline_us)
            if self._clock is not None:
                await self._clock.sleep(duration_us)
            else:
                await asyncio.sleep(duration_us / 1_000_000)
        if entry.delay_ms * 1_000 > deadline_us:
            raise ModelCallError(
                f"no answer within {deadline_us // 1_000} ms", kind="timeout", sent=True, retryable=True
            )


class _Script:
    """Entries, and how often each was used."""

    def __init__(self, entries: Sequence[ScriptedReply]) -> None:
        self._entries = tuple(entries)
        self._used = [0] * len(self._entries)

    def take(self, request: ModelRequest) -> ScriptedReply | None:
        for index, entry in enumerate(self._entries):
            if (entry.times is None or self._used[index] < entry.times) and entry.answers(request):
                self._used[index] += 1
                return entry
        return None


def _excerpt(request: ModelRequest) -> str:
    last = request.messages[-1] if request.messages else None
    if last is None:
        return "it has no messages"
    text = last.text if len(last.text) <= 80 else last.text[:77] + "..."
    return f"try {request.try_number}, last message {last.role}: {text!r}"


def _failure(failure: ScriptedFailure, request: ModelRequest) -> ModelCallError:
    sent, retryable, status = ERROR_KINDS[failure.kind]
    return ModelCallError(
        failure.message,
        kind=failure.kind,
        sent=sent if failure.sent is None else failure.sent,
        retryable=retryable if failure.retryable is None else failure.retryable,
        status=status if failure.status is None else failure.status,
        retry_after_ms=failure.retry_after_ms,
        where=f"call {request.call}",
    )


def _reply(entry: ScriptedReply, request: ModelRequest) -> ModelReply:
    calls = tuple(
        ToolCallAsk(
            arguments=msgspec.Raw(canonical(call.arguments)),
            id=call.id or f"call_{request.fingerprint[:8]}_{index}",
            name=call.name,
        )
        for index, call in enumerate(entry.tool_calls)
    )
    text = entry.text if entry.json is msgspec.UNSET else canonical(entry.json).decode()
    output = tokens_of_text(text) + sum(tokens_of_text(c.name) + (len(bytes(c.arguments)) + 3) // 4 for c in calls)
    usage = entry.usage or Usage(
        input_tokens=tokens_of_request(request), output_tokens=max(1, min(output, request.config.max_tokens))
    )
    return ModelReply(
        finish=entry.finish or ("tool_calls" if calls else "stop"),
        served=Served(model=request.config.model),
        text=text,
        tool_calls=calls,
        usage=usage,
    )

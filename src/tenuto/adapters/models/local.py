"""The small model that ships in a package, and other .gguf files, computed in this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tenuto.adapters.models.local_weights import digest_of_file, engine_version, find_weights, load, split_options
from tenuto.adapters.models.local_wire import encode_local, read_local
from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.openai_stream import CHAT_STREAM, ChatStream
from tenuto.adapters.models.openai_wire import read_reply
from tenuto.adapters.models.profiles import find_profile
from tenuto.core.canonical import clean
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, Served
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["LocalModelAdapter"]

_TEXT_BYTES_MAX = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Weights:
    path: Path
    slots: int
    cache: bool
    fingerprint: str
    """`xllamacpp VERSION / gguf SHA256`, the digest shortened to 16 characters."""


class LocalModelAdapter(ModelProvider):
    """`local:` (the packaged SmolLM2) and `local:PATH.gguf`, bit-stable: one slot, no prompt cache, one thread.

    `?slots=8` answers that many calls at once, `?cache=on` keeps prompts: both are faster, and not bit-stable.

    Weights are loaded at the first call and kept until `close`. Calls wait for each other, in the order they
    came; the deadline counts the wait. A call that computes cannot be interrupted: its caller returns at once
    when cancelled or late, and the next call waits for the slot.
    """

    def __init__(self, *, context_tokens: int = 4096) -> None:
        self._context_tokens = context_tokens
        self._servers: dict[_Weights, Any] = {}
        self._threads: dict[_Weights, ThreadPoolExecutor] = {}
        self._loading = threading.Lock()
        self._weights = functools.lru_cache(16)(self._find)

    def profile(self, model: str) -> ModelProfile:
        """Grade exact; `source` names the engine and the digest of the weights, so a lock sees either change.

        UsageError where a package or the file is missing, with the lines that install it.
        """
        weights = self._weights(split_name(model)[1])
        shared = weights.slots > 1 or weights.cache
        known = find_profile("local", weights.path.name, name=model, entry="local-shared" if shared else None)
        return msgspec.structs.replace(
            known, context_tokens=self._context_tokens, source=f"{weights.fingerprint}; {known.source}"
        )

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`."""
        try:
            profile = self.profile(request.config.model)
            weights = self._weights(split_name(request.config.model)[1])
        except UsageError as error:
            raise refused_name(error) from error
        thread = self._threads.get(weights)
        if thread is None:
            # A thread is a slot: calls queue for it, and one that was given up still holds it to its end.
            thread = self._threads[weights] = ThreadPoolExecutor(weights.slots, "tenuto-local-model")
        told = None if on_text is None else _told_in_loop(on_text)
        body = {**encode_local(request), "cache_prompt": weights.cache}
        call = thread.submit(self._compute, weights, body, told)
        try:
            async with asyncio.timeout(deadline_us / 1_000_000):
                answer = await asyncio.wrap_future(call)
        except TimeoutError as error:
            started = not call.cancel()
            raise ModelCallError(
                f"no answer within {deadline_us // 1_000} ms", kind="timeout", sent=started, retryable=True
            ) from error
        _raise_refusal(answer)
        reply = read_reply(answer, request, profile, (), {})
        served = Served(model=weights.path.name, sdk=engine_version(), system_fingerprint=weights.fingerprint)
        return read_local(msgspec.structs.replace(reply, served=served), request)

    async def close(self) -> None:
        """Drop waiting calls, wait for the one that computes, and free the weights. Idempotent."""
        threads, self._threads = self._threads, {}
        for thread in threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
        for thread in threads.values():
            await asyncio.to_thread(thread.shutdown)
        servers, self._servers = self._servers, {}
        await asyncio.to_thread(servers.clear)

    def _find(self, name: str) -> _Weights:
        given, slots, cache = split_options(name)
        path = find_weights(given)
        fingerprint = f"{engine_version()} / gguf {digest_of_file(path)[:16]}"
        return _Weights(path=path, slots=slots, cache=cache, fingerprint=fingerprint)

    def _compute(self, weights: _Weights, body: dict[str, Any], on_text: OnText | None) -> Any:
        """In the model's thread: load if need be, then answer. Only ModelCallError comes out."""
        try:
            with self._loading:
                server = self._servers.get(weights)
                if server is None:
                    server = self._servers[weights] = load(
                        weights.path, context_tokens=self._context_tokens, slots=weights.slots, cache=weights.cache
                    )
        except Exception as error:
            raise ModelCallError(
                f"the weights cannot be loaded: {_line(error)}",
                kind="refused_connection",
                sent=False,
                retryable=False,
                where=str(weights.path),
            ) from error
        try:
            if on_text is None:
                return clean(server.handle_chat_completions(body))
            return _streamed(server, body, on_text)
        except ModelCallError:
            raise
        except ValueError as error:
            raise ModelCallError(
                f"the model refuses the request: {_line(error)}",
                kind="bad_request",
                sent=False,
                retryable=False,
                status=400,
            ) from error
        except Exception as error:
            raise ModelCallError(
                f"the model failed: {_line(error)}", kind="server", sent=True, retryable=False
            ) from error


def _told_in_loop(on_text: OnText) -> OnText:
    """`on_text` for the model's thread: called in the loop that is running now."""
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody watches any more
            loop.call_soon_threadsafe(on_text, text)

    return tell


def _streamed(server: Any, body: dict[str, Any], on_text: OnText) -> dict[str, Any]:
    """The same answer, told on the way. The library calls back with each chunk; False asks it to go on."""
    stream = ChatStream(on_text, _TEXT_BYTES_MAX)
    refusals: list[dict[str, Any]] = []

    def take(chunk: Any) -> bool:
        if isinstance(chunk, dict) and "choices" not in chunk:
            refusals.append(chunk)
        elif isinstance(chunk, dict):
            stream.take(chunk)
        return False

    server.handle_chat_completions({**body, **CHAT_STREAM}, take)
    if refusals:
        refusal: dict[str, Any] = clean(refusals[0])
        return refusal if "error" in refusal else {"error": refusal}
    return stream.body()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _raise_refusal(body: Any) -> None:
    """An error that the library returns in place of an answer."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return
    code = error.get("code")
    status = code if isinstance(code, int) else 500
    if error.get("type") == "exceed_context_size_error":
        kind, fix = "context_length", "shorten the prompt"
    else:
        kind, fix = ("bad_request" if status < 500 else "server"), ""
    raise ModelCallError(
        f"the model refuses the request: {error.get('message', '')}"[:300],
        kind=kind,
        sent=status >= 500,
        retryable=False,
        status=status,
        fix=fix,
    )

"""A model that answers from a record and from nothing else: recorded runs as tests, `replay:RUN`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import msgspec

from tenuto.core.ids import Digest
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.errors import ModelCallError
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["RecordedModel", "request_text"]

_COMPARED_CHARACTERS = 4_000
_COMPARED_REQUESTS = 200


def request_text(request: ModelRequest) -> str:
    """A request as text, for comparing it with another one: model, parameters, messages, names of tools."""
    config = request.config
    lines = [f"model {config.model}, max_tokens {config.max_tokens}, seed {config.seed}"]
    lines += [f"tool {tool.name}" for tool in request.tools]
    if request.output_schema is not None:
        lines.append(f"schema {bytes(request.output_schema).decode()}")
    for message in request.messages:
        calls = "".join(f" {call.name}({bytes(call.arguments).decode()})" for call in message.tool_calls)
        lines.append(f"{message.role}: {message.text}{calls}")
    return "\n".join(lines)


class RecordedModel(ModelProvider):
    """Answers by fingerprint; a request that was not recorded fails closed and is never sent anywhere.

    The k-th call with a fingerprint gets the k-th reply; another try of a call gets its reply again. `requests`
    holds `request_text` of what was recorded, so that a miss can name the nearest one and what differs.
    """

    def __init__(
        self,
        replies: Mapping[Digest, Sequence[ModelReply]],
        *,
        profiles: Mapping[str, ModelProfile] | None = None,
        requests: Mapping[Digest, str] | None = None,
    ) -> None:
        self._replies = {fingerprint: tuple(found) for fingerprint, found in replies.items()}
        self._profiles = dict(profiles or {})
        self._requests = dict(requests or {})
        self._calls: dict[Digest, list[str]] = {}

    def profile(self, model: str) -> ModelProfile:
        """The recorded profile of that name (what was accepted then), graded exact."""
        known = self._profiles.get(model)
        if known is None:
            return ModelProfile(name=model, grade="exact", source="a record", verified=True)
        return msgspec.structs.replace(known, grade="exact")

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:  # noqa: ARG002 - no waiting
        """See `ModelProvider.complete`. A miss is a `bad_request` that no other try can mend."""
        replies = self._replies.get(request.fingerprint, ())
        calls = self._calls.setdefault(request.fingerprint, [])
        if request.call not in calls:
            if len(calls) >= len(replies):
                raise self._miss(request, len(replies))
            calls.append(request.call)
        return replies[calls.index(request.call)]

    async def close(self) -> None:
        """Nothing is held."""

    def _miss(self, request: ModelRequest, recorded: int) -> ModelCallError:
        if recorded:
            what = f"the record holds {recorded} answers to this request and one more is asked for"
        else:
            what = f"the record holds no answer to this request{self._nearest(request_text(request))}"
        return ModelCallError(
            what,
            kind="bad_request",
            sent=False,
            retryable=False,
            where=f"call {request.call}",
            fix="undo the change, or record again",
        )

    def _nearest(self, now: str) -> str:
        """What differs from the most similar recorded request."""
        best, score = "", 0.0
        matcher = SequenceMatcher(None, autojunk=False)
        matcher.set_seq2(now[:_COMPARED_CHARACTERS])
        for text in list(self._requests.values())[:_COMPARED_REQUESTS]:
            matcher.set_seq1(text[:_COMPARED_CHARACTERS])
            if matcher.real_quick_ratio() > score and matcher.quick_ratio() > score and matcher.ratio() > score:
                best, score = text, matcher.ratio()
        if not best:
            return ""
        place = next((i for i, (a, b) in enumerate(zip(best, now, strict=False)) if a != b), min(len(best), len(now)))
        start = max(0, place - 20)
        then, this = best[start : place + 40], now[start : place + 40]
        return f"; the nearest one ({score:.0%} alike) has {then!r} where this has {this!r}"

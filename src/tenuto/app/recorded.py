"""`replay:RUN` as a model: the replies of a recorded run, given again to equal requests of another run.

Two runs have other seeds and other model names, so their fingerprints differ; here a request is known by what a
model would see of it: its messages, tools, output schema and longest answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tenuto.adapters.models.recorded import RecordedModel
from tenuto.app.build import Store
from tenuto.app.finding import resolve_run
from tenuto.core.canonical import digest
from tenuto.core.events.call import ModelCallRequested, ModelReplied
from tenuto.core.frames import read_reply, reply_content
from tenuto.core.ids import Digest
from tenuto.core.models import Message, ModelConfig, ModelProfile, ModelReply, ModelRequest
from tenuto.ports.model import ModelProvider, OnText
from tenuto.runtime.loading import load_records

__all__ = ["PREFIX", "ReplayedRun", "recorded_models"]

PREFIX = "replay:"
_encode = msgspec.json.Encoder(order="sorted").encode


class ReplayedRun(ModelProvider):
    """The model of one recorded run. A request that the run did not make fails, and is never sent anywhere."""

    def __init__(self, replies: Mapping[Digest, list[ModelReply]]) -> None:
        self._recorded = RecordedModel(replies)

    def profile(self, model: str) -> ModelProfile:
        return self._recorded.profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`."""
        seen = _seen(request.config, [_part(message) for message in request.messages])
        return await self._recorded.complete(
            msgspec.structs.replace(request, fingerprint=seen), deadline_us=deadline_us, on_text=on_text
        )

    async def close(self) -> None:
        await self._recorded.close()


async def recorded_models(store: Store, names: Iterable[str]) -> dict[str, ModelProvider]:
    """A model for each name of the form `replay:RUN`. UsageError for a run that is not in the store."""
    return {name: await _replayed(store, name) for name in names if name.startswith(PREFIX)}


async def _replayed(store: Store, name: str) -> ReplayedRun:
    run = await resolve_run(store.journal, name.removeprefix(PREFIX))
    _, records = await load_records(store.journal, store.contents, run)
    replies: dict[Digest, list[ModelReply]] = {}
    parts: dict[str, list[Digest]] = {}
    asked: dict[str, Digest] = {}
    for record in records:
        event = record.event
        if isinstance(event, ModelCallRequested):
            before = [] if event.extends is None else parts[event.extends]
            parts[event.call] = [*before, *(part.digest for part in event.parts)]
            asked[event.call] = _seen(event.config, parts[event.call])
        elif isinstance(event, ModelReplied):
            replies.setdefault(asked[event.call], []).append(_reply(event))
    return ReplayedRun(replies)


def _reply(event: ModelReplied) -> ModelReply:
    body = read_reply(event.reply)
    return ModelReply(
        dropped=event.dropped,
        finish=event.finish,
        served=event.served,
        text=body.text,
        tool_calls=body.tool_calls,
        usage=event.usage,
    )


def _seen(config: ModelConfig, parts: list[Digest]) -> Digest:
    """What a model sees of a request, as a digest."""
    return digest(_encode([config.max_tokens, config.output_schema, config.tools, parts]))


def _part(message: Message) -> Digest:
    """The digest under which records name a message: replies and results by their own bodies."""
    match message.role:
        case "assistant":
            return reply_content(message.text, message.tool_calls).digest
        case "tool":
            return digest(message.text.encode())
        case _:
            return digest(_encode(message))

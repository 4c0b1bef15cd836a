"""What is asked of a model and what it answers. Values only; no provider is named here."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.ids import Digest

__all__ = [
    "Grade",
    "Message",
    "ModelConfig",
    "ModelProfile",
    "ModelReply",
    "ModelRequest",
    "Price",
    "Served",
    "ToolCallAsk",
    "ToolSchema",
    "Usage",
]

Grade = Literal["exact", "pinned", "best effort", "opaque"]
"""How far equal requests give equal answers, the best first: bit-stable by construction, and tried; promised by its
maker for one build of the server; a seed is taken, which helps; nothing is known."""


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The pinned parameters of a model call; part of every call's record and of every snapshot.

    `model` is the full name `provider:model`. `prompt_version` is the hash of the template and its name,
    `tools` maps tool names to the hash of what the model is told of them, `output_schema` is a digest.
    """

    max_tokens: int
    model: str
    output_schema: Digest | None = None
    prompt_version: Digest | None = None
    seed: int = 0
    temperature: int = 0
    tools: dict[str, Digest] = {}
    top_p: int = 1


class ToolCallAsk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A tool call that a model asks for. `arguments` is a JSON object, canonical."""

    arguments: msgspec.Raw
    id: str
    name: str


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One part of a conversation. `tool_call_id` and `tool_name` stand in messages of role `tool`."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCallAsk, ...] = ()
    tool_name: str | None = None


class ToolSchema(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a model is told of a tool. `parameters` is a JSON Schema (canonical)."""

    description: str
    name: str
    parameters: msgspec.Raw


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything an adapter needs for one try of one call.

    `call` and `fingerprint` identify it (for adapters that answer from a record, and for logs); they are never
    sent to a provider, except `key` where a provider takes an idempotency key. `number` counts earlier calls of
    the run at the same step with the same fingerprint, from 0.
    """

    call: str
    config: ModelConfig
    fingerprint: Digest
    key: Digest
    messages: tuple[Message, ...]
    output_schema: msgspec.Raw | None = None
    tools: tuple[ToolSchema, ...] = ()
    try_number: int = 1


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens as the provider counted them."""

    cached_input_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Served(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the provider says it served. `sdk`: the library that asked, with its version, where one did."""

    api_version: str | None = None
    model: str | None = None
    request_id: str | None = None
    sdk: str | None = None
    system_fingerprint: str | None = None


class ModelReply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A provider's answer. `dropped` names the parameters that were asked for but not sent.

    `finish`: `stop`, `tool_calls`, `length` (cut at max tokens), `filter`.
    """

    dropped: tuple[str, ...] = ()
    finish: str = "stop"
    served: Served = Served()
    text: str = ""
    tool_calls: tuple[ToolCallAsk, ...] = ()
    usage: Usage = Usage()


class Price(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """List price in millionths of a US dollar for a million tokens, with where it is from, and from which day."""

    date: str = ""
    input_micros: int = 0
    output_micros: int = 0
    source: str = ""


class ModelProfile(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """What is known of a model, as data. Part of a run's lock.

    `entry` names the entry of the table that it is from, `accepts` lists the parameters that may be sent
    (`temperature`, `top_p`, `seed`, `max_tokens`, `tools`, `json_schema`); `input_overhead_tokens` is what a request
    may cost beyond one token for each UTF-8 byte.
    """

    accepts: tuple[str, ...] = ("temperature", "top_p", "seed", "max_tokens", "tools", "json_schema")
    context_tokens: int | None = None
    date: str = ""
    default_max_tokens: int = 1024
    entry: str = ""
    grade: Grade = "opaque"
    input_overhead_tokens: int = 64
    name: str
    price: Price | None = None
    source: str = ""
    verified: bool = False

"""Requests and replies in the words of pydantic-ai. Imported when the first call is made."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any

from pydantic_ai import messages as library
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from tenuto.adapters.models.counting import request_bytes
from tenuto.adapters.models.openai_wire import is_strict
from tenuto.adapters.models.reply_bodies import bad_reply
from tenuto.adapters.models.reply_parts import count_of, label_of, read_calls
from tenuto.core.canonical import clean, parse
from tenuto.core.models import Message, ModelProfile, ModelReply, ModelRequest, Served, Usage

__all__ = ["Encoded", "encode", "read"]

_FINISHES = {"stop": "stop", "length": "length", "content_filter": "filter", "tool_call": "tool_calls"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the library is asked; `dropped` names what was not sent, or would be ignored."""

    messages: list[library.ModelMessage]
    settings: ModelSettings
    parameters: ModelRequestParameters
    dropped: tuple[str, ...]


def encode(request: ModelRequest, profile: ModelProfile, model: Any) -> Encoded:
    """The request as the library takes it, within what the profile and the library's own model accept."""
    config = request.config
    wanted = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": config.seed,
        "max_tokens": config.max_tokens,
    }
    ignored = model.unsupported_settings
    settings: dict[str, Any] = {
        name: value for name, value in wanted.items() if name in profile.accepts and name not in ignored
    }
    dropped = [name for name in wanted if name not in settings]
    if "max_retries" not in ignored:
        settings["max_retries"] = 0
    parameters: dict[str, Any] = {}
    if request.tools:
        parameters["function_tools"] = [
            ToolDefinition(name=t.name, description=t.description, parameters_json_schema=parse(t.parameters))
            for t in request.tools
        ]
    if request.output_schema is not None:
        schema = parse(request.output_schema)
        if "json_schema" in profile.accepts and model.profile.get("supports_json_schema_output", False):
            parameters["output_mode"] = "native"
            parameters["output_object"] = OutputObjectDefinition(
                json_schema=schema, name="output", strict=is_strict(schema)
            )
        else:
            dropped.append("json_schema")
    return Encoded(
        _messages(request.messages),
        ModelSettings(**settings),
        ModelRequestParameters(**parameters),
        tuple(sorted(dropped)),
    )


def _messages(messages: tuple[Message, ...]) -> list[library.ModelMessage]:
    """Messages of ours, those that are not the model's own joined to one request each."""
    made: list[library.ModelMessage] = []
    for message in messages:
        if message.role == "assistant":
            made.append(library.ModelResponse(parts=list(_said(message))))
            continue
        part = _told(message)
        last = made[-1] if made else None
        if isinstance(last, library.ModelRequest):
            last.parts = [*last.parts, part]
        else:
            made.append(library.ModelRequest(parts=[part]))
    return made


def _said(message: Message) -> Iterator[library.ModelResponsePart]:
    if message.text or not message.tool_calls:
        yield library.TextPart(content=message.text)
    for call in message.tool_calls:
        yield library.ToolCallPart(tool_name=call.name, args=bytes(call.arguments).decode(), tool_call_id=call.id)


def _told(message: Message) -> library.ModelRequestPart:
    match message.role:
        case "system":
            return library.SystemPromptPart(content=message.text)
        case "tool":
            return library.ToolReturnPart(
                tool_name=message.tool_name or "", content=message.text, tool_call_id=message.tool_call_id or ""
            )
        case _:
            return library.UserPromptPart(content=message.text)


def read(
    response: library.ModelResponse, request: ModelRequest, profile: ModelProfile, dropped: tuple[str, ...]
) -> ModelReply:
    """The reply in a response. ModelCallError `bad_response` where it has none."""
    if not response.parts and response.finish_reason not in ("length", "content_filter"):
        raise bad_reply("the reply has no parts")
    finish = _FINISHES.get(response.finish_reason or "stop")
    if finish is None:
        raise bad_reply(f"unknown finish reason {response.finish_reason!r}")
    text = clean("".join(p.content for p in response.parts if isinstance(p, library.TextPart)))
    asked = ((p.tool_call_id, p.tool_name, p.args) for p in response.parts if isinstance(p, library.ToolCallPart))
    calls = () if finish == "length" else read_calls(asked, request)
    if finish == "tool_calls" and not calls:
        raise bad_reply("the reply announces tool calls and has none")
    details = response.provider_details or {}
    return ModelReply(
        dropped=dropped,
        finish="tool_calls" if calls else finish,
        served=Served(
            model=label_of(response.model_name),
            request_id=label_of(response.provider_response_id),
            sdk=_library_version(),
            system_fingerprint=label_of(details.get("system_fingerprint")),
        ),
        text=text,
        tool_calls=calls,
        usage=_usage(response, request, profile),
    )


@functools.cache
def _library_version() -> str:
    return f"pydantic-ai-slim {package_version('pydantic-ai-slim')}"


def _usage(response: library.ModelResponse, request: ModelRequest, profile: ModelProfile) -> Usage:
    """What was counted; nothing at all means that nothing was told, and counts as the bound of the request."""
    usage = response.usage
    if not usage.input_tokens and not usage.output_tokens:
        asked = request_bytes(request) + profile.input_overhead_tokens
        return Usage(input_tokens=asked, output_tokens=request.config.max_tokens)
    return Usage(
        cached_input_tokens=usage.cache_read_tokens or 0,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=count_of(usage.details, "reasoning_tokens") or 0,
    )

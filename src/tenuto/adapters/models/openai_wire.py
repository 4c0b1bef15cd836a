"""The chat completions format: requests to bodies, replies to values. Knows nothing of connections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tenuto.adapters.models.counting import request_bytes
from tenuto.core.canonical import canonical, clean, parse
from tenuto.core.models import Message, ModelProfile, ModelReply, ModelRequest, Served, ToolCallAsk, Usage
from tenuto.errors import ModelCallError

__all__ = ["decode_body", "encode_request", "read_reply"]

_FINISHES = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
}
_LABEL_MAX = 256


def encode_request(
    request: ModelRequest, profile: ModelProfile, model: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body to send and the names of the parameters that the profile makes us drop, sorted."""
    config = request.config
    body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
    dropped = []

    def pin(name: str, value: Any, key: str | None = None) -> None:
        if name in profile.accepts:
            body[key or name] = value
        else:
            dropped.append(name)

    pin("temperature", config.temperature)
    pin("top_p", config.top_p)
    pin("seed", config.seed)
    limit_key = "max_completion_tokens" if "max_completion_tokens" in profile.accepts else None
    pin("max_tokens", config.max_tokens, limit_key)
    if request.tools:
        pin("tools", [_tool(tool.name, tool.description, parse(tool.parameters)) for tool in request.tools])
    if request.output_schema is not None:
        schema = parse(request.output_schema)
        wanted = {"name": "output", "schema": schema, **({"strict": True} if _is_strict(schema) else {})}
        pin("json_schema", {"type": "json_schema", "json_schema": wanted}, "response_format")
    return body, tuple(sorted(dropped))


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if message.tool_calls:
        calls = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": bytes(c.arguments).decode()}}
            for c in message.tool_calls
        ]
        return {"role": message.role, "content": message.text or None, "tool_calls": calls}
    return {"role": message.role, "content": message.text}


def _tool(name: str, description: str, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_STRICT_KEYS = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "items"}
    | {"properties", "required", "title", "type"}
)


def _is_strict(schema: Any) -> bool:
    """Whether a schema is within the subset for which servers promise conformity: closed objects, all required."""
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_KEYS:
        return False
    if (schema.get("type") == "object" or "properties" in schema) and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", {}))
    ):
        return False
    parts = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    if "items" in schema:
        parts.append(schema["items"])
    return all(_is_strict(part) for part in parts)


def decode_body(data: bytes) -> dict[str, Any]:
    """A JSON object in canonical range (lone surrogates cleaned). ModelCallError `bad_response` for all else."""
    try:
        value = clean(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise _bad(f"the reply is not JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise _bad("the reply is no JSON object")
    return value


def read_reply(
    body: dict[str, Any],
    request: ModelRequest,
    profile: ModelProfile,
    *,
    dropped: tuple[str, ...],
    headers: Mapping[str, str],
) -> ModelReply:
    """The reply that a decoded body holds. ModelCallError `bad_response` for a wrong shape.

    A reply that was cut at the limit carries no tool calls, since the last one may be cut too. Usage that the
    server does not report counts as the bound of the request, so the ledger is never below what was used.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _bad("the reply has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise _bad("the reply has no message")
    finish = _FINISHES.get(str(choices[0].get("finish_reason")))
    if finish is None:
        raise _bad(f"unknown finish reason {_label(choices[0].get('finish_reason'))!r}")
    text = _text(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal and not text:
        text, finish = refusal, "filter"
    calls = () if finish == "length" else _tool_calls(message.get("tool_calls"), request)
    if finish == "tool_calls" and not calls:
        raise _bad("the reply announces tool calls and has none")
    return ModelReply(
        dropped=dropped,
        finish="tool_calls" if calls else finish,
        served=Served(
            api_version=_label(headers.get("openai-version")),
            model=_label(body.get("model")),
            request_id=_label(headers.get("x-request-id")),
            system_fingerprint=_label(body.get("system_fingerprint")),
        ),
        text=text,
        tool_calls=calls,
        usage=_usage(body.get("usage"), request, profile),
    )


def _bad(what: str) -> ModelCallError:
    return ModelCallError(what, kind="bad_response", sent=True, retryable=True, status=200)


def _label(value: Any) -> str | None:
    """A short text of the server's, or None."""
    return clean(value)[:_LABEL_MAX] if isinstance(value, str) and value else None


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    raise _bad("the content of the reply is no text")


def _tool_calls(items: Any, request: ModelRequest) -> tuple[ToolCallAsk, ...]:
    if items is None:
        return ()
    if not isinstance(items, list):
        raise _bad("the tool calls of the reply are no list")
    calls = []
    seen = set()
    for index, item in enumerate(items):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(name := function.get("name"), str) or not name:
            raise _bad("a tool call of the reply has no name")
        identity = item.get("id") or f"call_{request.fingerprint[:8]}_{index}"
        if not isinstance(identity, str) or identity in seen:
            raise _bad("two tool calls of the reply have the same id")
        seen.add(identity)
        calls.append(ToolCallAsk(arguments=_arguments(function.get("arguments")), id=identity, name=name))
    return tuple(calls)


def _arguments(value: Any) -> msgspec.Raw:
    """Arguments as canonical JSON. A model that writes broken JSON may write it right at the next try."""
    try:
        decoded = clean(json.loads(value or "{}")) if value is None or isinstance(value, str) else value
        if isinstance(decoded, dict):
            return msgspec.Raw(canonical(decoded))
    except (ValueError, RecursionError):
        pass
    raise _bad("the arguments of a tool call are no JSON object")


def _usage(value: Any, request: ModelRequest, profile: ModelProfile) -> Usage:
    usage = value if isinstance(value, dict) else {}
    asked, answered, total = (_count(usage, key) for key in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if answered is None and asked is not None and total is not None:
        answered = max(0, total - asked)
    if asked is None:
        asked = request_bytes(request) + profile.input_overhead_tokens
    return Usage(
        cached_input_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        input_tokens=asked,
        output_tokens=request.config.max_tokens if answered is None else answered,
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens") or 0,
    )


def _count(holder: Any, key: str) -> int | None:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if type(value) is int and 0 <= value < 1 << 53 else None

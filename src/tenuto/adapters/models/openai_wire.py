"""The chat completions format: requests to bodies, bodies to replies. Knows nothing of connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenuto.adapters.models.reply_bodies import bad_reply
from tenuto.adapters.models.reply_parts import label_of, read_calls, read_text, read_usage
from tenuto.core.canonical import parse
from tenuto.core.models import Message, ModelProfile, ModelReply, ModelRequest, Served

__all__ = ["encode_request", "is_strict", "read_reply"]

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
        wanted = {"name": "output", "schema": schema, **({"strict": True} if is_strict(schema) else {})}
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


def is_strict(schema: Any) -> bool:
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
    return all(is_strict(part) for part in parts)


def read_reply(
    body: dict[str, Any],
    request: ModelRequest,
    profile: ModelProfile,
    dropped: tuple[str, ...],
    headers: Mapping[str, str],
) -> ModelReply:
    """The reply that a decoded body holds. ModelCallError `bad_response` for a wrong shape.

    A reply that was cut at the limit carries no tool calls, since the last one may be cut too. Usage that the
    server does not report counts as the bound of the request, so the ledger is never below what was used.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise bad_reply("the reply has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise bad_reply("the reply has no message")
    finish = _FINISHES.get(str(choices[0].get("finish_reason")))
    if finish is None:
        raise bad_reply(f"unknown finish reason {label_of(choices[0].get('finish_reason'))!r}")
    text = read_text(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal and not text:
        text, finish = refusal, "filter"
    calls = () if finish == "length" else read_calls(_asked(message.get("tool_calls")), request)
    if finish == "tool_calls" and not calls:
        raise bad_reply("the reply announces tool calls and has none")
    return ModelReply(
        dropped=dropped,
        finish="tool_calls" if calls else finish,
        served=Served(
            api_version=label_of(headers.get("openai-version")),
            model=label_of(body.get("model")),
            request_id=label_of(headers.get("x-request-id")),
            system_fingerprint=label_of(body.get("system_fingerprint")),
        ),
        text=text,
        tool_calls=calls,
        usage=read_usage(
            body.get("usage"), request, profile, asked_key="prompt_tokens", answered_key="completion_tokens"
        ),
    )


def _asked(items: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Id, name and arguments of each tool call of a message."""
    if items is None:
        return
    if not isinstance(items, list):
        raise bad_reply("the tool calls of the reply are no list")
    for item in items:
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict):
            raise bad_reply("a tool call of the reply has no name")
        yield item.get("id"), function.get("name"), function.get("arguments")

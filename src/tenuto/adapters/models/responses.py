"""The responses interface: requests to bodies, bodies to replies, streams put together.

Used without the server's memory: `store` is false, and every call sends the whole conversation. What a model thought
between two calls is therefore not sent back to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenuto.adapters.models.openai import Interface
from tenuto.adapters.models.openai_wire import is_strict
from tenuto.adapters.models.reply_bodies import ReplyStream, bad_reply, cleaned, cut_reply
from tenuto.adapters.models.reply_parts import label_of, read_calls, read_usage
from tenuto.core.canonical import clean, parse
from tenuto.core.models import Message, ModelProfile, ModelReply, ModelRequest, Served
from tenuto.errors import ModelCallError
from tenuto.ports.model import OnText

__all__ = ["RESPONSES"]

_REASONS = {"max_output_tokens": "length", "max_tokens": "length", "content_filter": "filter"}
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def _encode(request: ModelRequest, profile: ModelProfile, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    config = request.config
    items = [item for message in request.messages for item in _items(message)]
    body: dict[str, Any] = {"model": model, "input": items, "store": False}
    values: dict[str, tuple[str, Any]] = {
        "max_tokens": ("max_output_tokens", config.max_tokens),
        "seed": ("seed", config.seed),
        "temperature": ("temperature", config.temperature),
        "top_p": ("top_p", config.top_p),
    }
    if request.tools:
        values["tools"] = ("tools", [_tool(t.name, t.description, parse(t.parameters)) for t in request.tools])
    if request.output_schema is not None:
        schema = parse(request.output_schema)
        wanted = {"type": "json_schema", "name": "output", "schema": schema, "strict": is_strict(schema)}
        values["json_schema"] = ("text", {"format": wanted})
    body |= {key: value for name, (key, value) in values.items() if name in profile.accepts}
    return body, tuple(sorted(name for name in values if name not in profile.accepts))


def _tool(name: str, description: str, parameters: Any) -> dict[str, Any]:
    """Strict mode would refuse most schemas, and is on where nothing is said."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": False,
    }


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}
        return
    if message.text or not message.tool_calls:
        kind = "output_text" if message.role == "assistant" else "input_text"
        content = [{"type": kind, "text": message.text}]
        yield {"type": "message", "role": message.role, "content": content}
    for call in message.tool_calls:
        arguments = bytes(call.arguments).decode()
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _read(
    body: dict[str, Any],
    request: ModelRequest,
    profile: ModelProfile,
    dropped: tuple[str, ...],
    headers: Mapping[str, str],
) -> ModelReply:
    output = body.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise bad_reply("the reply has no output")
    finish = _finish(body)
    text, refusal = _texts(output)
    if refusal and not text:
        text, finish = refusal, "filter"
    calls = () if finish == "length" else read_calls(_asked(output), request)
    if not output and finish == "stop":
        raise bad_reply("the reply has no output")
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
        usage=read_usage(body.get("usage"), request, profile, asked_key="input_tokens", answered_key="output_tokens"),
    )


def _finish(body: Mapping[str, Any]) -> str:
    status = body.get("status")
    if status == "completed":
        return "stop"
    if status == "incomplete":
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if reason in _REASONS:
            return _REASONS[reason]
        raise bad_reply(f"unknown reason for an incomplete reply {label_of(reason)!r}")
    if status == "cancelled":
        raise ModelCallError("the server cancelled the reply", kind="server", sent=True, retryable=True, status=200)
    raise bad_reply(f"unknown status of the reply {label_of(status)!r}")


def _texts(output: list[dict[str, Any]]) -> tuple[str, str]:
    """What the model says, and what it says where it refuses."""
    texts: list[str] = []
    refusals: list[str] = []
    for item in output:
        if item.get("type") != "message":
            continue
        content = item.get("content")
        if not isinstance(content, list):
            raise bad_reply("the content of the reply is no list")
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("output_text", "refusal"):
                continue
            found = part.get("text" if kind == "output_text" else "refusal")
            if not isinstance(found, str):
                raise bad_reply("the content of the reply is no text")
            (texts if kind == "output_text" else refusals).append(found)
    return "".join(texts), "".join(refusals)


def _asked(output: list[dict[str, Any]]) -> Iterator[tuple[Any, Any, Any]]:
    for item in output:
        if item.get("type") == "function_call":
            yield item.get("call_id"), item.get("name"), item.get("arguments")


class _ResponseStream(ReplyStream):
    """Events, the last of which holds the whole response; the others are for the eye."""

    def __init__(self, on_text: OnText, _: int) -> None:
        self._on_text = on_text
        self._whole: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> bool:
        kind = event.get("type")
        if kind == "response.output_text.delta" and isinstance(event.get("delta"), str):
            self._on_text(clean(event["delta"]))
            return False
        if kind in _ENDS:
            whole = event.get("response")
            if not isinstance(whole, dict):
                raise bad_reply("the last event of the stream has no response")
            self._whole = whole
            return True
        if kind == "error" or (kind is None and event.get("error") is not None):
            error = event.get("error")
            self._whole = {"error": error if isinstance(error, dict) else event}
            return True
        return False

    def body(self) -> dict[str, Any]:
        if self._whole is None:
            raise cut_reply("the stream ended before the answer did")
        return cleaned(self._whole)


RESPONSES = Interface(
    provider="openai-responses",
    path="/responses",
    encode=_encode,
    stream={"stream": True},
    pieces=_ResponseStream,
    tells_error=lambda body: body.get("error") is not None or body.get("status") == "failed",
    read=_read,
)

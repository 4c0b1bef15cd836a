"""What the counting server understands and writes: chat completions and responses, whole and as streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tenuto.core.canonical import canonical, digest_of
from tenuto.core.models import Message, ModelConfig, ModelReply, ModelRequest, ToolCallAsk, ToolSchema

__all__ = ["INTERFACES", "Answer", "Interface"]

_PIECE = 12
"""Characters in a piece of a stream."""
_STREAMING = ("stream", "stream_options")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, ready to be sent."""

    body: bytes
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Interface:
    """How requests are read, and how replies are written as `asked`: whole or streamed."""

    request: Callable[[dict[str, Any]], ModelRequest]
    _whole: Callable[[ModelRequest, ModelReply], dict[str, Any]]
    _events: Callable[[dict[str, Any], Mapping[str, Any]], Iterator[dict[str, Any]]]
    _done: bytes = b""

    def answer(self, asked: Mapping[str, Any], request: ModelRequest, reply: ModelReply) -> Answer:
        whole = self._whole(request, reply)
        if asked.get("stream") is not True:
            return Answer(canonical(whole))
        lines = []
        for event in self._events(whole, asked):
            name = f"event: {event['type']}\n".encode() if "type" in event else b""
            lines.append(name + b"data: " + canonical(event) + b"\n\n")
        return Answer(b"".join(lines) + self._done, "text/event-stream")


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def _request(
    body: dict[str, Any], messages: tuple[Message, ...], *, limit: Any, schema: Any, tools: tuple[ToolSchema, ...]
) -> ModelRequest:
    """The content of a request is its identity; whether it is streamed is not part of it."""
    identity = digest_of({key: value for key, value in body.items() if key not in _STREAMING})
    return ModelRequest(
        call="server",
        config=ModelConfig(max_tokens=limit or 1_024, model=f"mock:{body['model']}"),
        fingerprint=identity,
        key=identity,
        messages=messages,
        output_schema=None if schema is None else msgspec.Raw(canonical(schema)),
        tools=tools,
    )


def _tool(function: Mapping[str, Any]) -> ToolSchema:
    return ToolSchema(
        description=function.get("description", ""),
        name=function["name"],
        parameters=msgspec.Raw(canonical(function.get("parameters", {}))),
    )


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


# --- chat completions ----------------------------------------------------------------------------------------------


def _chat_request(body: dict[str, Any]) -> ModelRequest:
    return _request(
        body,
        tuple(_chat_message(message) for message in body["messages"]),
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
        tools=tuple(_tool(tool["function"]) for tool in body.get("tools", ())),
    )


def _chat_message(message: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCallAsk(
            arguments=msgspec.Raw(call["function"]["arguments"].encode()),
            id=call["id"],
            name=call["function"]["name"],
        )
        for call in message.get("tool_calls") or ()
    )
    return Message(role=message["role"], text=_plain(message.get("content") or ""), tool_calls=calls)


def _completion(request: ModelRequest, reply: ModelReply) -> dict[str, Any]:
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": bytes(c.arguments).decode()}}
        for c in reply.tool_calls
    ]
    message = {"role": "assistant", "content": reply.text or None, **({"tool_calls": calls} if calls else {})}
    usage = reply.usage
    return {
        "id": f"chatcmpl-{request.fingerprint[:12]}",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": request.config.model.removeprefix("mock:"),
        "system_fingerprint": "counting-server",
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def _chunks(whole: dict[str, Any], asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    shared = {
        **{key: whole[key] for key in ("id", "created", "model", "system_fingerprint")},
        "object": "chat.completion.chunk",
    }
    choice = whole["choices"][0]
    message = choice["message"]

    def chunk(delta: dict[str, Any], finish: Any = None) -> dict[str, Any]:
        return {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(message["content"] or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        begun = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield chunk({"tool_calls": [begun]})
        for piece in _pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, choice["finish_reason"])
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**shared, "choices": [], "usage": whole["usage"]}


# --- responses -----------------------------------------------------------------------------------------------------


def _responses_request(body: dict[str, Any]) -> ModelRequest:
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    form = body.get("text", {}).get("format", {})
    return _request(
        body,
        tuple(map(_item_message, items)),
        limit=body.get("max_output_tokens"),
        schema=form.get("schema") if form.get("type") == "json_schema" else None,
        tools=tuple(_tool(tool) for tool in body.get("tools", ())),
    )


def _item_message(item: dict[str, Any]) -> Message:
    match item.get("type", "message"):
        case "function_call":
            call = ToolCallAsk(
                arguments=msgspec.Raw(item["arguments"].encode()), id=item["call_id"], name=item["name"]
            )
            return Message(role="assistant", tool_calls=(call,))
        case "function_call_output":
            return Message(role="tool", text=item["output"], tool_call_id=item["call_id"])
        case "message":
            return Message(role=item["role"], text=_plain(item["content"]))
        case kind:
            raise ValueError(f"an item of type {kind}")


def _response(request: ModelRequest, reply: ModelReply) -> dict[str, Any]:
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{c.id}",
            "call_id": c.id,
            "name": c.name,
            "arguments": bytes(c.arguments).decode(),
            "status": "completed",
        }
        for c in reply.tool_calls
    ]
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        output.insert(0, {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]})
    usage = reply.usage
    cut = reply.finish == "length"
    return {
        "id": f"resp_{request.fingerprint[:12]}",
        "object": "response",
        "model": request.config.model.removeprefix("mock:"),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": output,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def _response_events(whole: dict[str, Any], _: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
        if item["type"] == "message":
            for piece in _pieces(item["content"][0]["text"]):
                yield {"type": "response.output_text.delta", "output_index": index, "delta": piece}
        else:
            for piece in _pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


_CHAT = Interface(_chat_request, _completion, _chunks, b"data: [DONE]\n\n")
INTERFACES = {
    "/v1/chat/completions": _CHAT,
    "/openai/v1/chat/completions": _CHAT,  # where Groq has it
    "/v1/responses": Interface(_responses_request, _response, _response_events),
}
"""By path."""

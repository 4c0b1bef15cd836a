"""How requests are put to a small local model, and how its answers are read.

Structure is enforced by a grammar, not asked for: small models do not follow `tools`. With tools in the request
the model writes one JSON object, either `{"tool": NAME, "arguments": {...}}` or `{"answer": ...}`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tenuto.core.canonical import canonical, clean, parse
from tenuto.core.models import Message, ModelReply, ModelRequest, ToolCallAsk

__all__ = ["encode_local", "read_local"]

_GRAMMAR_KEYS = frozenset(
    {"$defs", "$ref", "$schema", "additionalProperties", "allOf", "anyOf", "const", "default", "definitions"}
    | {"description", "enum", "exclusiveMaximum", "exclusiveMinimum", "items", "maxItems", "maxLength", "maximum"}
    | {"minItems", "minLength", "minimum", "pattern", "prefixItems", "properties", "required", "title", "type"}
)
"""Keywords that the grammar enforces. For any other it would silently enforce nothing at all."""


def encode_local(request: ModelRequest) -> dict[str, Any]:
    """The body for llama.cpp's chat completions, sampling pinned and the prompt cache off."""
    config = request.config
    body: dict[str, Any] = {
        "cache_prompt": False,
        "max_tokens": config.max_tokens,
        "messages": [_message(message) for message in request.messages],
        "seed": config.seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
    }
    schema = None if request.output_schema is None else parse(request.output_schema)
    if request.tools:
        offer = "; ".join(f"{tool.name}: {tool.description}" for tool in request.tools)
        body["messages"].insert(0, {"role": "system", "content": f"Call a tool or answer, in JSON. Tools: {offer}"})
        schema = _tool_schema(request, {"type": "string"} if schema is None else schema)
    if schema is None:
        return body
    if _fits_grammar(schema):
        # Without white space: a one-field enum costs 8 tokens in place of the 17 to 29 of response_format.
        text = json.dumps({**schema, "x-guidance": {"whitespace_flexible": False}})
        body["grammar"] = f"%llguidance {{}}\nstart: %json {text}"
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return body


def read_local(reply: ModelReply, request: ModelRequest) -> ModelReply:
    """Turn what was written under the tool grammar back into a tool call or an answer.

    A reply that was cut, or that is not what the grammar promises, stays the text it is.
    """
    if not request.tools or reply.finish == "length":
        return reply
    try:
        value = clean(json.loads(reply.text))
    except (ValueError, RecursionError):
        return reply
    if not isinstance(value, dict):
        return reply
    name, arguments = value.get("tool"), value.get("arguments")
    if isinstance(name, str) and isinstance(arguments, dict):
        call = ToolCallAsk(
            arguments=msgspec.Raw(canonical(arguments)), id=f"call_{request.fingerprint[:8]}_0", name=name
        )
        return msgspec.structs.replace(reply, finish="tool_calls", text="", tool_calls=(call,))
    answer = value.get("answer", value)
    text = answer if isinstance(answer, str) and request.output_schema is None else canonical(answer).decode()
    return msgspec.structs.replace(reply, text=text)


def _message(message: Message) -> dict[str, str]:
    """As plain text: the template of a small model knows no tool calls."""
    if message.role == "tool":
        return {"role": "user", "content": f"{message.tool_name or 'tool'}: {message.text}"}
    calls = [{"tool": c.name, "arguments": parse(c.arguments)} for c in message.tool_calls]
    parts = [message.text] if message.text else []
    return {"role": message.role, "content": "\n".join([*parts, *(canonical(call).decode() for call in calls)])}


def _tool_schema(request: ModelRequest, answer: Any) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    options = [
        _closed({"tool": {"const": tool.name}, "arguments": _hoisted(parse(tool.parameters), f"t{i}", definitions)})
        for i, tool in enumerate(request.tools)
    ]
    options.append(_closed({"answer": _hoisted(answer, "answer", definitions)}))
    return {"anyOf": options, **({"$defs": definitions} if definitions else {})}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _hoisted(schema: Any, prefix: str, definitions: dict[str, Any]) -> Any:
    """`schema` for use inside another one: its definitions move to the outer one, under names of their own."""
    if not isinstance(schema, dict):
        return schema
    inner = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    for name, part in inner.items():
        definitions[f"{prefix}_{name}"] = _renamed(part, prefix)
    return _renamed({k: v for k, v in schema.items() if k not in ("$defs", "definitions", "$schema")}, prefix)


def _renamed(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_renamed(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _renamed(item, prefix) for key, item in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str):
        for start in ("#/$defs/", "#/definitions/"):
            if reference.startswith(start):
                out["$ref"] = f"#/$defs/{prefix}_{reference.removeprefix(start)}"
    return out


def _fits_grammar(schema: Any) -> bool:
    """Whether every keyword in a schema is enforced by the grammar."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    if not schema.keys() <= _GRAMMAR_KEYS or "(?" in str(schema.get("pattern", "")):
        return False
    parts = [part for key in ("properties", "$defs", "definitions") for part in schema.get(key, {}).values()]
    parts += [part for key in ("anyOf", "allOf", "prefixItems") for part in schema.get(key, ())]
    parts += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return all(_fits_grammar(part) for part in parts)

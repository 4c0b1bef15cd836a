"""Builders that the tests of models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tenuto.core.canonical import canonical, digest_of
from tenuto.core.models import Message, ModelConfig, ModelRequest, ToolSchema

Ask = Callable[..., ModelRequest]


def build_request(
    model: str,
    *messages: Message | str,
    call: str = "r1/fix/1/0",
    max_tokens: int = 64,
    schema: Any = None,
    seed: int = 7,
    tools: tuple[tuple[str, Any], ...] = (),
    try_number: int = 1,
) -> ModelRequest:
    asked = tuple(Message(role="user", text=m) if isinstance(m, str) else m for m in messages)
    offered = tuple(
        ToolSchema(description=f"the tool {name}", name=name, parameters=msgspec.Raw(canonical(parameters)))
        for name, parameters in tools
    )
    identity = [model, max_tokens, seed, schema, [[m.role, m.text, len(m.tool_calls)] for m in asked], list(tools)]
    return ModelRequest(
        call=call,
        config=ModelConfig(max_tokens=max_tokens, model=model, seed=seed),
        fingerprint=digest_of(identity),
        key=digest_of([call]),
        messages=asked,
        output_schema=None if schema is None else msgspec.Raw(canonical(schema)),
        tools=offered,
        try_number=try_number,
    )


@pytest.fixture
def ask() -> Ask:
    return build_request

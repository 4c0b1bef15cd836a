"""Plan, registry and lock as bodies: what a later tenuto may have added is refused, never overlooked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tenuto.core.bodies import read_lock, read_plan, read_registry, write_body
from tenuto.core.models import ModelProfile, Price
from tenuto.core.plan import Lock, Registry
from tenuto.testing.builders import agent, plan, prompt, tool_spec

PLAN = write_body(plan(prompt("a", values={"x": 1})))
REGISTRY = write_body(Registry(agents={"b": agent("b")}, tools={"t": tool_spec("t")}))
LOCK = write_body(Lock(profiles={"m": ModelProfile(grade="exact", name="m", price=Price(input_micros=1))}))


@pytest.mark.parametrize(
    ("read", "body", "inside"),
    [
        (read_plan, PLAN, []),
        (read_plan, PLAN, ["steps", 0]),
        (read_registry, REGISTRY, []),
        (read_registry, REGISTRY, ["agents", "b"]),
        (read_registry, REGISTRY, ["tools", "t"]),
        (read_lock, LOCK, []),
        (read_lock, LOCK, ["profiles", "m"]),
        (read_lock, LOCK, ["profiles", "m", "price"]),
    ],
)
def test_a_key_that_is_not_known_is_refused(read: Callable[[bytes], Any], body: bytes, inside: list[Any]) -> None:
    assert write_body(read(body)) == body
    whole = json.loads(body)
    part = whole
    for key in inside:
        part = part[key]
    part["later"] = 1
    with pytest.raises(ValueError, match="unknown field `later`"):
        read(json.dumps(whole).encode())

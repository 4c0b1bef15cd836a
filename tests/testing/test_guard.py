"""`guarded`: what programs reach in a test, clocks and chance among it."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.testing.builders import plan, program
from tenuto.testing.guard import guarded
from tenuto.testing.sim import Simulation


def found(work: Callable[[Any], Any]) -> list[str]:
    async def p(ctx: Any, _inputs: Any) -> Any:
        await ctx.model("x")
        work(ctx)

    with guarded() as lines:
        state = Simulation(plan(program("p")), functions={"p": p}).run()
        copied = list(lines)
        lines.clear()
    assert state.status == "ok", state.why
    return copied


@pytest.mark.parametrize(
    ("work", "what", "name"),
    [
        (lambda _: time.time(), "a clock", "time.time"),
        (lambda _: time.monotonic_ns(), "a clock", "time.monotonic_ns"),
        (lambda _: time.sleep(0), "a wait of its own", "time.sleep"),
        (lambda _: datetime.datetime.now(datetime.UTC), "a clock", "datetime.datetime.now"),
        (lambda _: datetime.date.today(), "a clock", "datetime.date.today"),  # noqa: DTZ011
        (lambda _: random.random(), "chance", "random.random"),
        (lambda _: random.choice([1, 2]), "chance", "random.getrandbits"),
        (lambda _: secrets.token_hex(), "chance", "os.urandom"),
        (lambda _: uuid.uuid4(), "chance", "os.urandom"),
        (lambda _: os.environ.get("HOME"), "the environment", "os.environ"),
        (lambda _: os.getcwd(), "the environment", "os.getcwd"),
        (lambda _: os.path.exists("x"), "files", "os.stat"),
        (lambda _: Path("/dev/null").read_bytes(), "files", "open"),
        (lambda _: threading.Thread(target=int).start(), "tasks or threads", "threading"),
        (lambda _: sorted([2, 1], key=lambda _: time.time()), "a clock", "time.time"),
    ],
)
def test_what_reaches_out_is_found(work: Callable[[Any], Any], what: str, name: str) -> None:
    lines = found(work)
    assert f"a step program reaches {what} ({name}); " in "\n".join(lines)
    assert all(line.startswith("test_guard.py:") for line in lines)


@pytest.mark.parametrize(
    "work",
    [
        lambda ctx: (ctx.now(), ctx.random().choice([1, 2]), random.Random(7).random()),
        lambda _: (time.gmtime(0), datetime.timedelta(1), os.path.join("a", "b")),
        lambda _: logging.getLogger("x").debug("x"),
        lambda _: time.time(),  # tenuto: allow
        lambda _: uuid.uuid5(uuid.NAMESPACE_URL, "x"),
        lambda _: __import__("colorsys"),
    ],
)
def test_what_is_pure_is_not(work: Callable[[Any], Any]) -> None:
    assert found(work) == []


def test_the_error_lists_every_place_once() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        for _ in range(3):
            await ctx.sleep(1)
            time.time()
        return random.random()

    with pytest.raises(AssertionError) as caught, guarded():
        Simulation(plan(program("p")), functions={"p": p}).run()
    first, *lines = str(caught.value).splitlines()
    assert first == "step programs reach the world without ctx:"
    assert [line.partition(": ")[2] for line in lines] == [
        "a step program reaches a clock (time.time); use ctx.now()",
        "a step program reaches chance (random.random); use ctx.random()",
    ]


def test_only_programs_are_watched_and_only_inside() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        return time.time()

    with guarded() as lines:
        time.time()
        asyncio.run(asyncio.sleep(0))
    assert lines == []
    assert sys.getprofile() is None
    assert Simulation(plan(program("p")), functions={"p": p}).run().status == "ok"

"""Plan and agent files made wrong, from a seed: in their text, in their structure, and inside their expressions."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml

__all__ = ["mutated_agent", "mutated_plan"]

CHARACTERS = (
    *"{}[]:,#&*!|>'\"%@`-?~\\/$ \t\n\r.=<>()+",
    *"\x00\x07\x1b\x7f\x85\u2028\u200b\ufeff\uffff\u0301äß",
    *"٣😀\U0010ffff",
    *("${{", "}}", "$${{", "---\n", "...\n", "<<: ", "!!python/object:os.system ", "&a ", "*a ", ": ", "- "),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    10**400,
    "",
    " ",
    "a" * 20_000,
    "é" * 300,
    "${{",
    "${{ }}",
    "${{ inputs }}",
    "${{ inputs.a.b.c }}",
    "${{ steps.nobody.output }}",
    "${{ 1 / 0 }}",
    "${{ " + "(" * 200 + "1" + ")" * 200 + " }}",
    "${{ " + "!" * 5_000 + "true }}",
    "${{ [1].map(x, [1].map(y, x)) }}",
    '${{ "a".matches("(a*)*b") }}',
    "python:os:system",
    "python:nowhere:at_all",
    "python:",
    "../../etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "schemas/none.json",
    "mock:?fail=2",
    "scripted:none.yaml",
    "openai:",
    "replay:",
    "99999999999999999999h",
    "-1s",
    "1.5.5",
    [],
    {},
    [[]],
    {"": ""},
    {"a" * 300: 1},
    ["*"],
    ["**/*"],
    [None],
    list(range(500)),
)
_KEYS = """
    tenuto name description inputs budget agents tools defaults steps outputs merge prompt run uses plan approval wait
    agent fallback needs if with foreach key max_parallel repeat output model max_tokens timeout retry on_error reads
    keep grants effect memory requires role mcp policy end default type until max ask expires tokens usd read write
    network env secrets attempts tries backoff promt
"""
KEYS = tuple(_KEYS.split())
Path = tuple[str | int, ...]


def mutated_plan(source: str, seed: str, plans: Sequence[str]) -> bytes:
    """A plan file with one to four things wrong with it (some are right again). `plans` are files it may call."""
    draw = random.Random(seed)
    kind = draw.choice(("text", "structure", "structure", "expression", "cycle"))
    if kind == "text":
        return _text(source, draw)
    content = yaml.safe_load(source)
    for _ in range(draw.randint(1, 4)):
        change = {"structure": _structure, "expression": _expression, "cycle": _cycle}[kind]
        content = change(content, draw, plans)
    return _written(content, draw)


def mutated_agent(source: str, seed: str) -> bytes:
    """An agent file with something wrong: in its text, or in the front matter."""
    draw = random.Random(seed)
    if draw.random() < 0.4:
        return _text(source, draw)
    _, front, body = source.split("---\n", 2)
    content = yaml.safe_load(front)
    for _ in range(draw.randint(1, 3)):
        content = _structure(content, draw, ())
    return b"---\n" + _written(content, draw) + b"\n---\n" + body.encode()


def _written(content: Any, draw: random.Random) -> bytes:
    if draw.random() < 0.5:
        try:
            text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
            return text.encode("utf-8", "surrogatepass")
        except (yaml.YAMLError, RecursionError):
            pass
    text = json.dumps(content, ensure_ascii=draw.random() < 0.5, default=str)  # a date of YAML
    return text.encode("utf-8", "surrogatepass")


def _text(source: str, draw: random.Random) -> bytes:
    data = source
    for _ in range(draw.randint(1, 4)):
        data = draw.choice(TEXT_CHANGES)(data, draw) or " "
    raw = data.encode("utf-8", "surrogatepass")
    match draw.randrange(12):
        case 0:
            at = draw.randrange(len(raw))
            return raw[:at] + bytes([draw.randrange(256)]) + raw[at + 1 :]
        case 1:
            return data.encode("utf-16", "surrogatepass")
        case _:
            return raw


def _lines(change: Callable[[list[str], int, random.Random], list[str]]) -> Callable[[str, random.Random], str]:
    def changed(text: str, draw: random.Random) -> str:
        lines = text.splitlines(keepends=True) or ["\n"]
        return "".join(change(lines, draw.randrange(len(lines)), draw))

    return changed


def _swapped(lines: list[str], at: int, draw: random.Random) -> list[str]:
    other = draw.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]
    return lines


def _inserted(text: str, draw: random.Random) -> str:
    at = draw.randint(0, len(text))
    return f"{text[:at]}{draw.choice(CHARACTERS)}{text[at:]}"


def _replaced(text: str, draw: random.Random) -> str:
    at = draw.randint(0, len(text))
    return f"{text[:at]}{draw.choice(CHARACTERS)}{text[at + draw.randint(0, 3) :]}"


def _word(text: str, draw: random.Random) -> str:
    """One word of the file in the place of another."""
    words = [match.span() for match in re.finditer(r"\w+", text)]
    if not words:
        return text
    (start, end), (first, last) = draw.choice(words), draw.choice(words)
    return text[:start] + text[first:last] + text[end:]


TEXT_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _lines(lambda lines, at, _: lines[:at] + lines[at + 1 :]),
    _lines(lambda lines, at, _: lines[:at] + [lines[at]] * 2 + lines[at + 1 :]),
    _lines(_swapped),
    _lines(lambda lines, at, draw: [*lines[:at], " " * draw.randint(1, 7) + lines[at], *lines[at + 1 :]]),
    _lines(lambda lines, at, _: [*lines[:at], lines[at].lstrip(" "), *lines[at + 1 :]]),
    _lines(lambda lines, at, _: [*lines[:at], "\t" + lines[at], *lines[at + 1 :]]),
    _inserted,
    _inserted,
    _replaced,
    _replaced,
    _word,
    lambda text, draw: text[: draw.randint(0, len(text))],
    lambda text, _: text.replace("\n", "\r\n"),
    lambda text, draw: text * draw.randint(2, 3),
    lambda text, draw: text + draw.choice("[{") * draw.choice((10, 1_000, 100_000)),
)


def _paths(content: Any, at: Path = ()) -> list[Path]:
    """Where every value is."""
    found = [at]
    if isinstance(content, dict):
        for key, value in content.items():
            found += _paths(value, (*at, key))
    elif isinstance(content, list):
        for index, value in enumerate(content[:20]):
            found += _paths(value, (*at, index))
    return found


def _get(content: Any, path: Path) -> Any:
    for part in path:
        content = content[part]
    return content


def _put(content: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    _get(content, path[:-1])[path[-1]] = value
    return content


def _copy(value: Any) -> Any:
    return copy.deepcopy(value)


def _structure(content: Any, draw: random.Random, plans: Sequence[str]) -> Any:
    del plans
    paths = _paths(content)
    path = draw.choice(paths[1:] or paths)
    match draw.randrange(8):
        case 0:
            return _put(content, path, _copy(draw.choice(VALUES)))
        case 1:
            return _put(content, path, _copy(_get(content, draw.choice(paths))))
        case 2 if path:
            around = _get(content, path[:-1])
            del around[path[-1]]
            return content
        case 3 if path and isinstance(path[-1], str):
            around = _get(content, path[:-1])
            around[draw.choice(KEYS)] = around.pop(path[-1])
            return content
        case 4:
            value = _get(content, path)
            for _ in range(draw.choice((1, 40, 250))):
                value = [value] if draw.random() < 0.5 else {"a": value}
            return _put(content, path, value)
        case 5:
            value = _get(content, path)
            return _put(content, path, _inserted(value, draw) if isinstance(value, str) else str(value))
        case 6:
            around = next((p for p in (path, path[:-1]) if isinstance(_get(content, p), dict)), ())
            held = _get(content, around)
            if isinstance(held, dict):
                held[draw.choice(KEYS)] = _copy(draw.choice(VALUES))
            return content
        case _:
            value = _get(content, path)
            number = draw.choice((10**6, -(10**6), 2**53, 0, 1e-9, "1e400"))
            return _put(content, path, number if isinstance(value, int) else [value, value])


def _expression(content: Any, draw: random.Random, plans: Sequence[str]) -> Any:
    """One text with an expression in it (or a condition), changed by some characters."""
    del plans
    found = [
        path
        for path in _paths(content)
        if isinstance(text := _get(content, path), str) and ("${{" in text or path[-1:] in (("if",), ("until",)))
    ]
    if not found:
        return _structure(content, draw, ())
    path = draw.choice(found)
    text = _get(content, path)
    for _ in range(draw.randint(1, 3)):
        text = draw.choice((_inserted, _replaced, _word))(text, draw)
    return _put(content, path, text)


def _cycle(content: Any, draw: random.Random, plans: Sequence[str]) -> Any:
    """Steps that need each other, or a plan that is its own sub-plan, directly or through others."""
    steps = content.get("steps") if isinstance(content, dict) else None
    if not isinstance(steps, dict) or not steps:
        return content
    name = draw.choice(sorted(steps, key=str))
    step = steps[name] if isinstance(steps[name], dict) else {}
    if draw.random() < 0.5:
        step["needs"] = draw.sample(sorted(steps, key=str), draw.randint(1, len(steps)))
        return content
    steps[name] = {"plan": draw.choice(plans), **({"needs": step["needs"]} if "needs" in step else {})}
    return content

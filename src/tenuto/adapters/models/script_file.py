"""Script files of `scripted:FILE`, in YAML or JSON: a list of entries, or `replies:` with such a list.

    replies:
      - when: { step: triage, ordinal: 0, contains: "issue 7" }   # every condition given must hold
        json: { files: [a.py] }                                     # answered as canonical JSON text
      - when: { step: "patch[*]", matches: "fix .*py" }
        tool_calls: [{ name: read_file, arguments: { path: a.py } }]
        times: 1                                                    # then this entry is used up
      - when: { step: patch, try: 1 }
        error: { kind: rate_limited, retry_after_ms: 500 }
      - text: done                                                  # no condition: answers everything else
        usage: { input_tokens: 12, output_tokens: 3 }
        delay_ms: 20

Conditions: `step` (`*` stands for any text), `attempt`, `ordinal`, `try`, `contains`, `matches`. An entry has
exactly one of `text`, `json`, `tool_calls` (`text` may stand beside it) or `error`. The first entry that fits
and is not used up answers. Unknown keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tenuto.adapters.models.script import ERROR_KINDS, ScriptedFailure, ScriptedReply, ScriptedToolCall
from tenuto.core.canonical import clean, parse
from tenuto.core.models import Usage
from tenuto.core.printable import printable
from tenuto.errors import UsageError

__all__ = ["SIZE_MAX", "read_script"]

SIZE_MAX = 8 << 20
"""Bytes of the largest script file that is read."""

_ENTRY_KEYS = ("when", "text", "json", "tool_calls", "error", "usage", "finish", "delay_ms", "times")
_WHEN_KEYS = ("step", "attempt", "ordinal", "try", "contains", "matches")
_FINISHES = ("stop", "tool_calls", "length", "filter")


def read_script(path: Path) -> tuple[ScriptedReply, ...]:
    """The entries of a script file. UsageError `file: what; fix`."""
    where = printable(str(path))
    try:
        if path.stat().st_size > SIZE_MAX:
            raise UsageError(f"the script is larger than {SIZE_MAX} bytes", where=where, fix="split it")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the script cannot be read ({error.strerror or error})", where=where, fix="name a YAML or JSON file"
        ) from error
    content = _decoded(data, path)
    if isinstance(content, dict):
        _only(content, ("replies",), where)
        content = content.get("replies")
    if not isinstance(content, list) or not content:
        raise UsageError("the script holds no list of entries", where=where, fix="write `replies: [...]`")
    return tuple(_entry(item, f"{where}: entry {index}") for index, item in enumerate(content, 1))


def _decoded(data: bytes, path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return clean(parse(data))
        import yaml

        return clean(yaml.load(_without_aliases(data), Loader=_loader()))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"not readable: {error}", where=str(path), fix="correct the syntax") from error
    except Exception as error:
        import yaml

        if not isinstance(error, yaml.YAMLError):
            raise
        raise _not_yaml(error, path) from error


def _not_yaml(error: Exception, path: Path) -> UsageError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
    detail = getattr(error, "problem", None) or " ".join(str(error).split())
    fix = "correct the syntax; a text with `: `, ` #`, `?` or a comma among braces needs quotes"
    return UsageError(f"not YAML: {detail}", where=where, fix=fix)


def _loader() -> Any:
    """The same parser as for plan files: the two that come with the package differ in a few details of syntax."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _without_aliases(data: bytes) -> bytes:
    """The same bytes, refused where they use aliases: a few of those can stand for gigabytes."""
    import yaml

    for event in yaml.parse(data, Loader=_loader()):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {event.start_mark.line + 1 if event.start_mark else 0}: aliases are not allowed")
    return data


def _entry(item: Any, where: str) -> ScriptedReply:
    _only(item, _ENTRY_KEYS, where)
    answers = [key for key in ("text", "json", "tool_calls", "error") if key in item]
    if len(answers) != 1 and answers != ["text", "tool_calls"]:
        raise UsageError(
            "an entry has exactly one answer", where=where, fix="give one of text, json, tool_calls or error"
        )
    when = item.get("when", {})
    _only(when, _WHEN_KEYS, f"{where}: when")
    finish = item.get("finish")
    if finish is not None and finish not in _FINISHES:
        raise UsageError(f"finish is {finish!r}", where=where, fix=f"use one of {', '.join(_FINISHES)}")
    ordinal = when.get("ordinal")
    return ScriptedReply(
        attempt=_count(when, "attempt", where, least=1),
        contains=_text(when, "contains", where),
        delay_ms=_count(item, "delay_ms", where) or 0,
        failure=_failure(item["error"], f"{where}: error") if "error" in item else None,
        finish=finish,
        json=item.get("json", msgspec.UNSET),
        matches=_pattern(when, where),
        ordinal=None if ordinal is None else str(ordinal),
        step=_text(when, "step", where),
        text=_text(item, "text", where) or "",
        times=_count(item, "times", where, least=1),
        tool_calls=_tool_calls(item.get("tool_calls", []), where),
        try_number=_count(when, "try", where, least=1),
        usage=_usage(item["usage"], where) if "usage" in item else None,
    )


def _failure(item: Any, where: str) -> ScriptedFailure:
    if isinstance(item, str):
        item = {"kind": item}
    _only(item, ("kind", "message", "retry_after_ms", "retryable", "sent", "status"), where)
    kind = item.get("kind")
    if kind not in ERROR_KINDS:
        raise UsageError(f"kind is {kind!r}", where=where, fix=f"use one of {', '.join(ERROR_KINDS)}")
    for key in ("retryable", "sent"):
        if not isinstance(item.get(key, False), bool):
            raise UsageError(f"{key} is {item[key]!r}", where=where, fix="write true or false")
    return ScriptedFailure(
        kind=kind,
        message=_text(item, "message", where) or "scripted failure",
        retry_after_ms=_count(item, "retry_after_ms", where),
        retryable=item.get("retryable"),
        sent=item.get("sent"),
        status=_count(item, "status", where),
    )


def _tool_calls(items: Any, where: str) -> tuple[ScriptedToolCall, ...]:
    if not isinstance(items, list):
        raise UsageError("tool_calls is no list", where=where, fix="write `tool_calls: [{name: ..., arguments: {}}]`")
    calls = []
    for item in items:
        _only(item, ("name", "arguments", "id"), f"{where}: tool_calls")
        name, arguments = item.get("name"), item.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise UsageError(
                "a tool call needs a name and an object of arguments",
                where=where,
                fix="write `{name: read_file, arguments: {path: a.py}}`",
            )
        calls.append(ScriptedToolCall(arguments=arguments, id=_text(item, "id", where), name=name))
    return tuple(calls)


def _usage(item: Any, where: str) -> Usage:
    _only(item, Usage.__struct_fields__, f"{where}: usage")
    return Usage(**{key: _count(item, key, where) or 0 for key in item})


def _pattern(when: Mapping[str, Any], where: str) -> re.Pattern[str] | None:
    text = _text(when, "matches", where)
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"matches is no regular expression: {error}", where=where, fix="correct it") from error


def _only(item: Any, keys: tuple[str, ...], where: str) -> None:
    if not isinstance(item, dict):
        raise UsageError("this has to be a mapping", where=where, fix=f"known keys: {', '.join(keys)}")
    for key in item:
        if key not in keys:
            raise UsageError(f"unknown key {key!r}", where=where, fix=f"known keys: {', '.join(keys)}")


def _text(item: Mapping[str, Any], key: str, where: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{key} is {value!r}", where=where, fix="write a text, in quotes")
    return value


def _count(item: Mapping[str, Any], key: str, where: str, *, least: int = 0) -> int | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{key} is {value!r}", where=where, fix=f"write a whole number from {least}")
    return value

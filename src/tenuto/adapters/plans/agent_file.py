"""Agents from the Markdown files people have: front matter, then the instructions.

Keys that belong to other programs (`color`, `permissionMode`) are left alone; one that looks like a slip of ours is
refused, and so is a key of ours in the wrong place, since neither would have any effect.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.adapters.plans.agent_keys import FRONT_MATTER, OWN_KEYS
from tenuto.adapters.plans.reading import Reading, described
from tenuto.adapters.plans.text import decode, read_bytes
from tenuto.adapters.plans.yaml_document import Document, read_yaml, written
from tenuto.core.agents import AgentSpec
from tenuto.core.ids import valid_name
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError

__all__ = ["LoadedAgent", "load_agent", "read_agent"]

_FENCE = "---"
_FOREIGN = frozenset(("mode",))
"""Keys of other programs that look like a slip of one of ours."""
_LOOSE_DESCRIPTION = re.compile(r"(description:[ ]+)([^\s\"'|>\[{&*!#%@`].*)\Z")


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent and where its parts are written (`agents.NAME.tools` -> `file:line:col`)."""

    agent: AgentSpec
    places: Mapping[str, str]


def load_agent(path: Path, file: str) -> LoadedAgent:
    """Read an agent's file; `file` names it in messages and places. Raises InvalidPlanError."""
    return read_agent(read_bytes(path, file), file, directory=path.parent)


def read_agent(data: bytes, file: str, *, directory: Path) -> LoadedAgent:
    """As `load_agent`, from bytes. Paths in the front matter are relative to `directory`."""
    matter, body, first_line = _split(decode(data, file).replace("\r\n", "\n"), file)
    document = _document(matter, file)
    reading = Reading(document, directory)
    values = reading.take(FRONT_MATTER, _ours(reading), ())
    stem = re.sub(r"\.agent\Z", "", Path(file).stem)
    name = values.get("name", stem) if isinstance(values, dict) else stem
    if "name" not in document.value and not valid_name(name):
        reading.note(
            (), f"the file's name {shorten(stem)} cannot be an agent's name", "add name: to the front matter"
        )
    reading.finish()
    return LoadedAgent(_spec(values, name, body), _places(document, name, first_line))


def _document(matter: str, file: str) -> Document:
    if not matter.strip():
        return Document(file, {}, {}, {})
    document = read_yaml(_with_quoted_description(matter).encode(), file, first_line=2)
    if not isinstance(document.value, dict):
        raise InvalidPlanError(
            f"front matter is keys and values, not {described(document.value)}",
            where=document.place(()),
            fix="write keys such as name: between the --- lines",
        )
    return document


def _split(text: str, file: str) -> tuple[str, str, int]:
    """Front matter, body, and the line at which the body starts."""
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        return "", text, 1
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise InvalidPlanError("front matter is not closed", where=f"{file}:1:1", fix="end it with a line ---")
    start = next((i for i, line in enumerate(lines[end + 1 :], end + 1) if line.strip()), end)
    return "\n".join(lines[1:end]) + "\n", "\n".join(lines[end + 1 :]), start + 1


def _with_quoted_description(matter: str) -> str:
    """Front matter in which a plain one-line description that holds a colon is quoted.

    Descriptions with examples in them (`Use it when. Examples: user: ...`) are common in such files, and no YAML.
    """
    lines = matter.split("\n")
    for index, line in enumerate(lines):
        match = _LOOSE_DESCRIPTION.match(line)
        loose = match is not None and (": " in match[2] or " #" in match[2] or match[2].rstrip().endswith(":"))
        continued = index + 1 < len(lines) and lines[index + 1].startswith((" ", "\t"))
        if match is not None and loose and not continued:
            lines[index] = match[1] + json.dumps(match[2].rstrip(), ensure_ascii=False)
    return "\n".join(lines)


def _ours(reading: Reading) -> dict[str, Any]:
    """The front matter without the keys of other programs."""
    known = [field.name for field in FRONT_MATTER.fields]
    kept: dict[str, Any] = {}
    for key, value in reading.document.value.items():
        if key in OWN_KEYS:
            reading.note(
                (key,), f"the key {key} stands below metadata:", f"write metadata: with {key}: in it", key=True
            )
        elif key in known or (key not in _FOREIGN and difflib.get_close_matches(key[:64], known, n=1, cutoff=0.75)):
            kept[key] = value
    return kept


def _spec(values: dict[str, Any], name: str, body: str) -> AgentSpec:
    metadata: dict[str, Any] = values.get("metadata", {})
    refused = set(values.get("disallowedTools", ()))
    return AgentSpec(
        **{"model": values.get("model"), **metadata},
        description=values.get("description", ""),
        instructions=body.strip(),
        name=name,
        tools=tuple(tool for tool in values.get("tools", ()) if tool not in refused),
    )


def _places(document: Document, name: str, first_line: int) -> dict[str, str]:
    agent = f"agents.{name}"
    places = {agent: f"{document.file}:1:1", f"{agent}.instructions": f"{document.file}:{first_line}:1"}
    for path in document.values:
        if path and path != ("metadata",):
            inner = path[1:] if path[0] == "metadata" else path
            places[written(("agents", name, *inner))] = document.place(path, key=isinstance(path[-1], str))
    return places

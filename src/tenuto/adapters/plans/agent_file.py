"""Agents from the Markdown files people have: front matter, then the instructions.

Keys that belong to other programs (`color`, `permissionMode`) are left alone; one that looks like a slip of ours is
refused, and so is a key of ours in the wrong place, since neither would have any effect.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.adapters.plans.agent_keys import FRONT_MATTER, OWN_KEYS
from tenuto.adapters.plans.front_matter import read_fronted
from tenuto.adapters.plans.reading import Reading
from tenuto.adapters.plans.skill_file import load_skills, skill_folders
from tenuto.adapters.plans.text import read_bytes
from tenuto.adapters.plans.yaml_document import Document, written
from tenuto.core.agents import AgentSpec, Skill
from tenuto.core.ids import valid_name
from tenuto.core.problems import shorten

__all__ = ["LoadedAgent", "load_agent", "read_agent"]

_FOREIGN = frozenset(("mode",))
"""Keys of other programs that look like a slip of one of ours."""


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent and where its parts are written (`agents.NAME.tools` -> `file:line:col`)."""

    agent: AgentSpec
    places: Mapping[str, str]


def load_agent(path: Path, file: str, *, plan: Path | None = None) -> LoadedAgent:
    """Read an agent's file; `file` names it in messages and places. Raises InvalidPlanError.

    `plan` is the directory of the plan that names it: skills are looked for there too.
    """
    return read_agent(read_bytes(path, file), file, directory=path.parent, plan=plan)


def read_agent(data: bytes, file: str, *, directory: Path, plan: Path | None = None) -> LoadedAgent:
    """As `load_agent`, from bytes. Paths in the front matter are relative to `directory`."""
    document, body, first_line = read_fronted(data, file)
    reading = Reading(document, directory)
    values = reading.take(FRONT_MATTER, _ours(reading), ())
    stem = re.sub(r"\.agent\Z", "", Path(file).stem)
    name = values.get("name", stem) if isinstance(values, dict) else stem
    if "name" not in document.value and not valid_name(name):
        reading.note(
            (), f"the file's name {shorten(stem)} cannot be an agent's name", "add name: to the front matter"
        )
    reading.finish()
    skills = list(load_skills(reading, values.get("skills", ()), skill_folders(directory, plan or directory)))
    reading.finish()
    places = _places(document, name, first_line)
    places |= {f"agents.{name}.skills/{loaded.skill.name}": loaded.place for loaded in skills}
    return LoadedAgent(_spec(values, name, body, tuple(loaded.skill for loaded in skills)), places)


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


def _spec(values: dict[str, Any], name: str, body: str, skills: tuple[Skill, ...]) -> AgentSpec:
    metadata: dict[str, Any] = values.get("metadata", {})
    refused = set(values.get("disallowedTools", ()))
    return AgentSpec(
        **{"model": values.get("model"), **metadata},
        description=values.get("description", ""),
        instructions=body.strip(),
        name=name,
        skills=skills,
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

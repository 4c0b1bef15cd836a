"""The lock of a plan file: what it resolves to, as hashes and versions in a file that can be read and compared."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tenuto.app.plans import ReadyPlan
from tenuto.core.canonical import digest
from tenuto.core.plan import PlanWork, PromptWork, RunWork, Step, UsesWork, plans_within
from tenuto.core.spec import RunSpec
from tenuto.errors import StorageError, UsageError

__all__ = ["LOCK_VERSION", "Move", "lock_path", "locked", "moves", "read_lock_file", "write_lock_file"]

LOCK_VERSION = 1
LOCK_BYTES_MAX = 64 << 20
_encode = msgspec.json.Encoder(order="sorted").encode

Locked = dict[str, Any]
"""The content of a lock file: sections of named entries."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was locked. `where` is `FILE:LINE:COLUMN` where that is known."""

    part: str
    what: str
    recorded: Any
    current: Any
    where: str


def lock_path(plan: Path) -> Path:
    """The lock of a plan lies beside it: `fix.plan.yaml` has `fix.plan.lock`."""
    return plan.with_suffix(".lock") if plan.suffix in (".yaml", ".yml") else plan.with_name(f"{plan.name}.lock")


def locked(ready: ReadyPlan, spec: RunSpec) -> Locked:
    """What a plan resolves to. The same plan, files and models give the same, on every machine."""
    steps: dict[str, Any] = {}
    prompts: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for path, inner, step in _steps(spec):
        compiled = inner.step(step.name)
        entry: dict[str, Any] = {"digest": inner.static(step.name)}
        if compiled.agent is not None:
            entry |= {"model": compiled.agent.model, "max_tokens": compiled.agent.max_tokens}
            entry |= {"agent": compiled.agent.agent} if compiled.agent.agent else {}
        steps[path] = entry
        if step.output is not None:
            schemas[path] = {"digest": digest(bytes(step.output))}
        if isinstance(step.work, PromptWork):
            prompts[path] = {"version": compiled.prompt_version, "source": step.work.source}
    return {
        "version": LOCK_VERSION,
        "plan": {"name": spec.plan.name, "digest": spec.plan.digest},
        "steps": steps,
        "prompts": prompts,
        "schemas": schemas,
        "skills": {
            f"{name}/{skill.name}": {"digest": skill.digest}
            for name, agent in sorted(ready.agents.items())
            for skill in agent.skills
        },
        "agents": {name: {"digest": agent.digest} for name, agent in sorted(ready.agents.items())},
        "models": {name: _model(profile) for name, profile in sorted(spec.lock.profiles.items())},
        "tools": {
            name: {
                "id": tool.tool_id,
                "version": tool.version,
                "effect": tool.effect,
                "digest": digest(_encode(tool)),
            }
            for name, tool in sorted(spec.registry.tools.items())
            if name in _used(spec)
        },
        "code": dict(sorted(spec.lock.code.items())),
    }


def _steps(spec: RunSpec, prefix: str = "") -> Iterator[tuple[str, RunSpec, Step]]:
    for step in spec.plan.steps:
        yield f"{prefix}{step.name}", spec, step
        if isinstance(step.work, PlanWork) and step.work.plan is not None:
            yield from _steps(spec.inner(step.name), f"{prefix}{step.name}/")


def _model(profile: Any) -> dict[str, Any]:
    fields = msgspec.to_builtins(profile)
    price = fields.get("price")
    shown = {
        name: fields[name] for name in ("grade", "entry", "source", "date", "context_tokens") if fields.get(name)
    }
    return {**shown, "price": price, "digest": digest(_encode(profile))}


def _used(spec: RunSpec) -> set[str]:
    """The tools that the plan's agents, commands and programs can reach."""
    used = {name for agent in spec.registry.agents.values() for name in agent.tools}
    for _, part in plans_within(spec.plan):
        for step in part.steps:
            if isinstance(step.work, RunWork):
                used.add("run")
            elif isinstance(step.work, UsesWork) or (isinstance(step.work, PlanWork) and step.work.plan is None):
                used.update(spec.registry.tools)
    return used


def write_lock_file(path: Path, content: Locked) -> None:
    """Write a lock, whole or not at all. StorageError."""
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", delete=False
        ) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise StorageError(
            f"cannot be written ({error.strerror})", where=str(path), fix="check its directory"
        ) from None


def read_lock_file(path: Path) -> Locked | None:
    """A lock; None where there is none. UsageError for a file that is no lock of this version."""
    fix = "write it anew: `tenuto lock PLAN`"
    try:
        with path.open("rb") as file:
            data = file.read(LOCK_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), fix="check its permissions") from None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise UsageError("this file holds something else than a lock", where=str(path), fix=fix)
    if found["version"] != LOCK_VERSION:
        raise UsageError(f"a lock of version {found['version']} is not known here", where=str(path), fix=fix)
    return found


def moves(recorded: Locked, current: Locked, ready: ReadyPlan) -> list[Move]:
    """What is not as it was locked, in the order of the plan's parts; nothing where all is."""
    found: list[Move] = []
    for section in ("prompts", "schemas", "skills", "agents", "models", "tools", "code", "steps"):
        found += _section(section, _table(recorded, section), _table(current, section), ready)
    # A step's digest holds its prompt, its schema and its agent's digest: what is told already is not told again.
    told = {move.part.partition(".")[2] for move in found if move.part.startswith(("prompts.", "schemas."))}
    found = [m for m in found if not (m.part.startswith("steps.") and m.part.partition(".")[2] in told)]
    if not found and _table(recorded, "plan") != _table(current, "plan"):
        before, after = _table(recorded, "plan").get("digest"), _table(current, "plan").get("digest")
        found.append(
            Move(part="plan", what="changed", recorded=before, current=after, where=_place(ready, "plan", ""))
        )
    return found


def _table(content: Locked, section: str) -> Mapping[str, Any]:
    found = content.get(section)
    return found if isinstance(found, dict) else {}


def _section(section: str, before: Mapping[str, Any], after: Mapping[str, Any], ready: ReadyPlan) -> Iterator[Move]:
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old != new:
            what = "new" if old is None else "gone" if new is None else "changed"
            where = "" if new is None else _place(ready, section, name)
            yield Move(part=f"{section}.{name}", what=what, recorded=old, current=new, where=where)


_PARTS = {
    "prompts": ("steps.{}.prompt", "steps.{}"),
    "schemas": ("steps.{}.output", "steps.{}"),
    "steps": ("steps.{}",),
    "agents": ("agents.{}",),
    "code": ("steps.{}.uses", "steps.{}"),
    "models": ("defaults.model",),
    "tools": ("tools",),
}


def _place(ready: ReadyPlan, section: str, name: str) -> str:
    """Where a part was written; of a model, where it is first named."""
    keys = [pattern.format(name) for pattern in _PARTS.get(section, ())]
    if section == "skills":
        keys = ["agents.{}.skills/{}".format(*name.split("/", 1))]
    if section == "models":
        named = [f"steps.{step.name}.model" for step in ready.plan.steps if step.model == name]
        named += [f"agents.{agent.name}.model" for agent in ready.agents.values() if agent.model == name]
        keys = [*named, *(keys if ready.plan.defaults.model == name else [])]
    place = next((ready.places[key] for key in keys if key in ready.places), "")
    place = place or (ready.places.get("", "") if section == "plan" else "")
    return (ready.directory / place).as_posix() if place else ""

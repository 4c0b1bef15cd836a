"""`--edit FILE`: today's text of files in place of what a run recorded, and of no others.

A file that the plan is made of (the plan itself, a prompt, a schema, an agent, a sub-plan, a Python module) changes
the plan and not the tree that steps see, so that steps which do not use it stay what they were. Any other file of the
repository changes the tree that the run starts from.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tenuto.adapters.plans.part_files import differing_parts, files_of_plan
from tenuto.app.build import Store, open_workspace
from tenuto.app.config import Settings
from tenuto.app.plans import PLAN_PLACE, plan_directory, programs_of
from tenuto.app.proofs import todays
from tenuto.core.bodies import read_plan, read_registry, write_body
from tenuto.core.ids import Digest
from tenuto.core.problems import shorten
from tenuto.core.spec import RunSpec
from tenuto.errors import InvalidPlanError, UsageError
from tenuto.ports.programs import Program

if TYPE_CHECKING:
    from tenuto.adapters.programs import PythonPrograms
    from tenuto.ports.workspace import FileChange

__all__ = ["Change", "Edited", "code_differs", "edit_run"]

What = Literal["added", "again", "changed", "removed"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a fork changes. `part` is one of the plan (`steps.fix.prompt`), the path of a file of the tree,
    or a step that is to run again; `by` is the flag that says so."""

    part: str
    by: str
    what: What = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What a run is made of with some files as they are today. `unchanged`: what was named and is as it was."""

    spec: RunSpec
    tree: Digest
    changes: tuple[Change, ...]
    unchanged: tuple[str, ...]


async def edit_run(
    settings: Settings, store: Store, recorded: RunSpec, tree: Digest, repository: Path, named: Sequence[str]
) -> Edited:
    """Take today's text of the named files and folders. Names are looked for from here, then from the repository.

    UsageError where a file is none of the run's, and where the plan has changed in a file that is not named.
    """
    directory = plan_directory(recorded.lock.places, repository)
    paths = {_found(name, repository, directory): name for name in named}
    spec, differing, made_of = await _plan_today(settings, recorded, repository, list(paths))
    by_plan = [path for path in paths if any(_within(file, path) for file in made_of)]
    changes: list[Change] = []
    if by_plan:
        changes += _allowed(differing, paths, repository)
    else:
        spec = recorded
    others = {path: name for path, name in paths.items() if path not in made_of}
    if others:
        tree, changed = await _tree_today(store, tree, repository, others, made_of, by_plan)
        changes += changed
    used = {change.by for change in changes}
    return Edited(
        spec=spec,
        tree=tree,
        changes=tuple(changes),
        unchanged=tuple(name for name in named if f"--edit {name}" not in used),
    )


def _found(name: str, repository: Path, directory: Path) -> Path:
    """The path that a name means: from here if it is below the repository or the plan, else from the repository."""
    if not name:
        raise UsageError("names no file", where="--edit", fix="name a file or a folder; `.` is this one")
    here = Path(os.path.realpath(name))
    roots = [Path(os.path.realpath(root)) for root in (repository, directory)]
    if any(here.is_relative_to(root) for root in roots):
        return here
    there = Path(os.path.realpath(repository / name))
    return there if there.is_relative_to(roots[0]) else here


def _within(file: Path, named: Path) -> bool:
    return file == named or named in file.parents


def _naming(file: Path, paths: Mapping[Path, str]) -> str | None:
    """The name as it was given that means this file, or a folder around it."""
    return next((name for path, name in paths.items() if _within(file, path)), None)


# --- the plan -------------------------------------------------------------------------------------------------


async def _plan_today(
    settings: Settings, recorded: RunSpec, repository: Path, paths: Sequence[Path]
) -> tuple[RunSpec, list[tuple[str, Path]], set[Path]]:
    """Today's plan, what differs in it with the file that makes the difference, and all files that plans are of."""
    if PLAN_PLACE not in recorded.lock.places:
        return recorded, [], set()
    directory = plan_directory(recorded.lock.places, repository)
    before = (recorded.plan, recorded.registry.agents, recorded.lock.places)
    made_of = {_real(directory, file) for file in files_of_plan(*before)}
    try:
        current, programs = await todays(settings, recorded, repository)
    except InvalidPlanError:
        if any(_within(file, path) for file in made_of for path in paths):
            raise
        return recorded, [], made_of  # only other files are meant: the plan is taken as it was
    agents = read_registry(write_body(current.registry)).agents
    after = (read_plan(write_body(current.plan)), agents, current.lock.places)
    made_of |= {_real(directory, file) for file in files_of_plan(*after)}
    differing = [(part, _real(directory, file)) for part, file in differing_parts(before, after)]
    for part, file, changed in (*_code(recorded, current, programs), *_tools(recorded, current, directory)):
        made_of.add(file)
        differing += [(part, file)] if changed else []
    return current, differing, made_of


def _real(directory: Path, file: str) -> Path:
    return Path(os.path.realpath(directory / file))


def _code(recorded: RunSpec, current: RunSpec, programs: PythonPrograms) -> Iterator[tuple[str, Path, bool]]:
    for path, target in programs_of(current.plan):
        file = Path(os.path.realpath(inspect.getsourcefile(programs.load(target).function) or target))
        yield f"steps.{path}.uses", file, code_differs(recorded, path, programs.load(target))


def code_differs(recorded: RunSpec, path: str, program: Program) -> bool:
    """Whether a step's program, or a module that it is imported with, is another than the run's lock has."""
    known, modules = recorded.lock.code.get(path), recorded.lock.modules.get(path)
    return known is not None and (known != program.code or modules not in (None, program.modules))


def _tools(recorded: RunSpec, current: RunSpec, directory: Path) -> Iterator[tuple[str, Path, bool]]:
    for name, tool in current.registry.tools.items():
        place = current.lock.places.get(f"tools.{name}")
        if place is not None:
            was = recorded.registry.tools.get(name)
            yield f"tools.{name}", _real(directory, place.rpartition(":")[0]), was is not None and was != tool


def _allowed(differing: Sequence[tuple[str, Path]], paths: Mapping[Path, str], repository: Path) -> list[Change]:
    """The differences as changes. UsageError where one is in a file that nobody named."""
    changes: list[Change] = []
    others: list[Path] = []
    for part, file in differing:
        name = _naming(file, paths)
        if name is None:
            others.append(file)
        else:
            changes.append(Change(part=part, by=f"--edit {name}"))
    if others:
        shown = [shorten(_shown(file, repository)) for file in dict.fromkeys(others)]
        what = f"{', '.join(shown)} {'has' if len(shown) == 1 else 'have'} changed as well"
        them = "it" if len(shown) == 1 else "them"
        raise UsageError(what, fix=f"name {them} with --edit too, or restore {them}")
    return changes


def _shown(file: Path, repository: Path) -> str:
    root = Path(os.path.realpath(repository))
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


# --- the tree -------------------------------------------------------------------------------------------------


async def _tree_today(
    store: Store,
    tree: Digest,
    repository: Path,
    paths: Mapping[Path, str],
    made_of: Collection[Path],
    by_plan: Collection[Path],
) -> tuple[Digest, list[Change]]:
    """The tree with what is below these paths as it is in the repository now."""
    workspace = open_workspace(store)
    root = _real(repository, "")
    try:
        today = await workspace.capture(repository)
        known = {entry.path for whole in (tree, today) for entry in await workspace.entries(whole)}
        for path, name in paths.items():
            inside = path.is_relative_to(root) and any(_within(root / file, path) for file in known)
            if not inside and path not in by_plan:
                raise UsageError(
                    "the run is made of no such file",
                    where=f"--edit {shorten(name)}",
                    fix="name a file of its plan or of its repository (ignored files are none)",
                )
        taken: list[FileChange] = []
        changes: list[Change] = []
        for change in await workspace.changes(tree, today):
            file = root / change.path
            name_of = None if file in made_of else _naming(file, paths)
            if name_of is not None:
                taken.append(change)
                changes.append(Change(part=change.path, by=f"--edit {name_of}", what=_what(change)))
        edit = await workspace.edit(tree)
        for change in taken:
            if change.after is None:
                await edit.delete(change.path)
        edited = await workspace.put(await edit.commit(), [c.after for c in taken if c.after is not None])
        return edited, changes
    finally:
        await workspace.close()


def _what(change: FileChange) -> What:
    return "added" if change.before is None else "removed" if change.after is None else "changed"

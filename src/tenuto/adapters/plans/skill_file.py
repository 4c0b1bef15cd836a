"""Skills that agents name: a folder with a `SKILL.md`, whose text is given to the agent beside its instructions.

Only `SKILL.md` is read. Other files of the folder are files like any other: an agent whose tools read files finds
them where they are in the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tenuto.adapters.plans.front_matter import read_fronted
from tenuto.adapters.plans.reading import Reading
from tenuto.adapters.plans.text import read_bytes
from tenuto.core.agents import Skill
from tenuto.core.problems import Problem, shorten
from tenuto.errors import InvalidPlanError

__all__ = ["LoadedSkill", "load_skills", "skill_folders"]

_FILE = "SKILL.md"


class LoadedSkill(NamedTuple):
    skill: Skill
    place: str


def skill_folders(agent: Path, plan: Path) -> tuple[Path, ...]:
    """Where skills are looked for, in this order: beside the folder of the agent's file, then beside the plan.

    `agent` is the directory of the agent's file, `plan` that of the plan.
    """
    return tuple(dict.fromkeys((agent.parent / "skills", plan / ".claude" / "skills", plan / "skills")))


def load_skills(reading: Reading, names: Sequence[str], folders: Sequence[Path]) -> Iterator[LoadedSkill]:
    """The skills of these names, each from the first folder that has it. What is wrong is noted in `reading`."""
    for index, name in enumerate(names):
        at = ("skills", index) if ("skills", index) in reading.document.values else ("skills",)
        file = next((found for folder in folders if (found := folder / name / _FILE).is_file()), None)
        if file is None:
            looked = ", ".join((folder / name / _FILE).as_posix() for folder in folders)
            reading.note(at, f"there is no skill {shorten(name)}", f"correct the name, or create one of: {looked}")
            continue
        try:
            yield LoadedSkill(_load(file, name), f"{file.as_posix()}:1:1")
        except InvalidPlanError as error:
            reading.problems += [Problem("", e.what, e.fix, e.where) for e in error.errors]


def _load(path: Path, name: str) -> Skill:
    file = path.as_posix()
    document, body, first_line = read_fronted(read_bytes(path, file), file)
    called = document.value.get("name", name)
    if called != name:
        raise InvalidPlanError(
            f"the skill calls itself {shorten(str(called))}, and its folder {shorten(name)}",
            where=document.place(("name",), key=True),
            fix="give both the same name",
        )
    description = document.value.get("description", "")
    if not isinstance(description, str):
        where = document.place(("description",), key=True)
        raise InvalidPlanError("description is a text", where=where, fix="write it in quotes")
    if not body.strip():
        raise InvalidPlanError("the skill has no text", where=f"{file}:{first_line}:1", fix="write it below ---")
    return Skill(description=description, name=name, text=body.strip())

"""Paths into what an expression may read: inputs, steps, the item of a child."""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from msgspec import Struct

from tenuto.core.expressions.errors import FlawError, Part, placed
from tenuto.core.expressions.wording import kind_of, listed, quoted

__all__ = ["PATH_DEPTH_MAX", "ROOTS", "STEP_FIELDS", "Reference", "Scope", "check_path", "path_text", "refuse_part"]

PATH_DEPTH_MAX = 32
"""Parts of the longest path, its root not counted."""
ROOTS = ("inputs", "steps", "item", "key", "with", "last", "iteration")
"""What a path may start with. Which of them a place knows is the plan's business."""
STEP_FIELDS = ("output", "status", "error")
"""What may be asked of a step: `steps.NAME.FIELD`, and of the last iteration: `last.FIELD`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Scope = Mapping[str, Any]


class Reference(Struct, frozen=True):
    """One path: where it starts (`root`), where it leads (`parts`), and where it is written.

    `offset` is the place in the string that holds it: of its `${{` where the path stands alone, of its root inside
    a longer expression. `within` is the path of that string in the value it is part of (empty for a text).
    """

    root: str
    parts: tuple[Part, ...]
    offset: int
    within: tuple[Part, ...] = ()

    @property
    def step(self) -> str | None:
        """The name of the step it reads, if it reads one."""
        return str(self.parts[0]) if self.root == "steps" else None

    def __str__(self) -> str:
        return path_text(self.root, self.parts)

    def resolve(self, scope: Scope) -> Any:
        """What the path leads to. Raises ExpressionError naming how far it led and what is there."""
        try:
            return self.find(scope)
        except FlawError as flaw:
            raise placed(flaw, str(self), self.offset, self.within) from None

    def find(self, scope: Scope) -> Any:
        """As `resolve`, for a path that is part of an expression. Raises FlawError."""
        try:
            value = scope[self.root]
        except KeyError:
            raise FlawError(f"there is no {self.root} here", f"use one of: {listed(scope)}") from None
        for depth, part in enumerate(self.parts):
            try:
                if isinstance(part, str):
                    if type(value) is dict or isinstance(value, Mapping):
                        value = value[part]
                        continue
                elif isinstance(value, (list, tuple)):
                    value = value[part]
                    continue
            except (KeyError, IndexError):
                pass
            refuse_part(value, path_text(self.root, self.parts[:depth]), part)
        return value


def refuse_part(value: Any, held: str, part: Part) -> NoReturn:
    """Say why `part` cannot be taken from `value`, which the source names `held`. Raises FlawError."""
    if isinstance(value, Mapping):
        if type(part) is int:
            raise FlawError(
                f"{held} is an object, not a list", f'write ["{part}"] for a key; it has: {listed(value)}'
            )
        minus = "write spaces around a minus; " if _is_minus(part, value) else ""
        raise FlawError(f"{held} has no key {quoted(str(part))}", f"{minus}it has: {listed(value)}")
    if isinstance(value, (list, tuple)):
        if type(part) is int:
            count = f"{len(value)} item{'' if len(value) == 1 else 's'}"
            raise FlawError(f"{held} has no item {part}", f"it has {count}, counted from 0")
        raise FlawError(f"{held} is a list and has no key {quoted(str(part))}", f"write {held}[0] for an item")
    raise FlawError(f"{held} is {kind_of(value)}, so nothing stands below it", f"end the path at {held}")


def _is_minus(part: Part, value: Mapping[str, Any]) -> bool:
    """Whether a key that is not there was meant as a subtraction: `inputs.a-b`."""
    return isinstance(part, str) and "-" in part and part.partition("-")[0] in value


def check_path(root: str, parts: Sequence[Part]) -> tuple[str, str] | None:
    """What is wrong with a path by its form alone, and how to fix it."""
    if len(parts) > PATH_DEPTH_MAX:
        return f"the path has more than {PATH_DEPTH_MAX} parts", "make it shorter"
    if root == "steps":
        if not parts or type(parts[0]) is int:
            return "the step's name is missing", "write steps.NAME.output"
        return _check_field(path_text(root, parts[:1]), parts[1:])
    return _check_field(root, parts) if root == "last" else None


def _check_field(held: str, fields: Sequence[Part]) -> tuple[str, str] | None:
    if fields and fields[0] in STEP_FIELDS:
        return None
    return f"{held} must be followed by one of: {', '.join(STEP_FIELDS)}", f"write {held}.output"


def path_text(root: str, parts: Iterable[Part]) -> str:
    """A path as it is written: `steps.a.output["odd key"][0]`."""
    out = [root]
    for part in parts:
        if type(part) is int:
            out.append(f"[{part}]")
        elif _NAME.fullmatch(str(part)):
            out.append(f".{part}")
        else:
            out.append(f"[{quoted(str(part))}]")
    return "".join(out)

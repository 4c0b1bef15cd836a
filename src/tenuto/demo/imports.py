"""Who imports whom inside one repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from tenuto.demo.source import ImportedName

__all__ = ["links", "module_names"]


def module_names(paths: Iterable[str]) -> dict[str, str]:
    """The dotted name each file is imported by -> its path. The first package above it without a parent counts.

    Of two files with one name the shallower (then the first by path) is taken, as the path search would.
    """
    every = sorted(paths, key=lambda path: (path.count("/"), path))
    packages = {str(PurePosixPath(path).parent) for path in every if PurePosixPath(path).name == "__init__.py"}
    found: dict[str, str] = {}
    for path in every:
        for name in _names(path, packages):
            found.setdefault(name, path)
    return found


def _names(path: str, packages: set[str]) -> list[str]:
    file = PurePosixPath(path)
    parts = [] if file.stem == "__init__" else [file.stem]
    directory = file.parent
    while str(directory) in packages and directory.name:
        parts.insert(0, directory.name)
        directory = directory.parent
    if not parts:
        return []
    names = [".".join(parts)]
    rooted = [part for part in directory.parts if part not in ("src", "lib")]
    if rooted:  # a namespace package has no __init__.py: the way from the root is its name
        names.append(".".join((*rooted, *parts)))
    return names


def links(files: Mapping[str, Sequence[ImportedName]]) -> dict[str, tuple[str, ...]]:
    """For each path the other paths of the repository it imports, sorted."""
    modules = module_names(files)
    found: dict[str, tuple[str, ...]] = {}
    for path, imports in files.items():
        targets = {target for one in imports if (target := _target(path, one, modules, files)) is not None}
        found[path] = tuple(sorted(targets - {path}))
    return found


def _target(path: str, one: ImportedName, modules: Mapping[str, str], files: Iterable[str]) -> str | None:
    if one.level:
        return _relative(path, one, files)
    parts = [*one.module.split("."), *([one.name] if one.name else [])]
    # `import a.b` means b; `from a.b import c` means the module c, or the module b that defines c
    for length in (len(parts), len(parts) - 1) if one.name else (len(parts),):
        target = modules.get(".".join(parts[:length]))
        if target is not None:
            return target
    return None


def _relative(path: str, one: ImportedName, files: Iterable[str]) -> str | None:
    directory = PurePosixPath(path).parent
    for _ in range(one.level - 1):
        directory = directory.parent
    package = directory.joinpath(*one.module.split(".")) if one.module else directory
    for candidate in (
        package / f"{one.name}.py",
        package / one.name / "__init__.py",
        package.with_suffix(".py") if one.module else package / "__init__.py",
        package / "__init__.py",
    ):
        if str(candidate) in files:
            return str(candidate)
    return None

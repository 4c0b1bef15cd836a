"""A project's own modules as syntax trees: what they define, import and allow. Nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["Module", "Modules", "allowed_lines", "imported"]

_ALLOW = re.compile(r"#.*\btenuto: allow\b")
_BYTES_MAX = 4 << 20
_FOLLOWED_MAX = 20


class Module:
    """One parsed file. `names` are the values bound at its top level: definitions, and imports as dotted names."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name = name
        self.path = path
        self.source = source
        self.tree = ast.parse(source)
        self.allowed = allowed_lines(source)
        self.imports: dict[str, str] = {}
        self.stars: list[str] = []
        self.definitions: dict[str, list[ast.AST]] = {}
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for statement in _top_level(self.tree.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports |= imported(statement, package)
                if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                    self.stars.append(_origin(statement, package))
            for bound in _bound(statement):
                self.definitions.setdefault(bound, []).append(statement)
        self.package = package


def imported(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, str]:
    """The names that an import binds, each with the dotted name it stands for."""
    if isinstance(statement, ast.ImportFrom):
        origin = _origin(statement, package)
        return {a.asname or a.name: f"{origin}.{a.name}" for a in statement.names if a.name != "*"}
    plain = {a.name.partition(".")[0]: a.name.partition(".")[0] for a in statement.names if a.asname is None}
    return plain | {a.asname: a.name for a in statement.names if a.asname is not None}


def _origin(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*parts, *([statement.module] if statement.module else [])])


def allowed_lines(source: str) -> frozenset[int]:
    """The lines that carry a comment `# tenuto: allow`."""
    if "tenuto: allow" not in source:
        return frozenset()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return frozenset(t.start[0] for t in tokens if t.type == tokenize.COMMENT and _ALLOW.match(t.string))


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those in its `if`, `try` and `with` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
            for field in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _bound(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def _imports_of(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node, module.package).values()
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            else:
                yield _origin(node, module.package)


class Modules:
    """The modules of the project that a program belongs to: those beside it. What is installed is not its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parsed: dict[str, Module | None] = {}
        self._installed: tuple[str, Path] | None = None

    def start(self, name: str) -> Module | None:
        """The module a plan names. One that is installed makes its own package a part of the project."""
        top = name.partition(".")[0]
        if self._file(self._directory, name) is None:
            found = importlib.util.find_spec(name)
            if found is None or found.origin is None or not found.origin.endswith(".py"):
                return None
            depth = name.count(".") + (Path(found.origin).name == "__init__.py")
            self._installed = (top, Path(found.origin).parents[depth])
        return self.get(name)

    def get(self, name: str) -> Module | None:
        """A module of the project; None for any other, and for one that is no Python that can be read."""
        if name not in self._parsed:
            self._parsed[name] = self._parse(name)
        return self._parsed[name]

    def imported_with(self, name: str) -> list[Module]:
        """A module and all of the project that it imports, anywhere in it and directly or not, by name."""
        found: dict[str, Module] = {}
        names = [name]
        while names:
            parts = names.pop().split(".")
            for length in range(1, len(parts) + 1):
                module = self.get(".".join(parts[:length]))
                if module is not None and module.name not in found:
                    found[module.name] = module
                    names += _imports_of(module)
        return [found[name] for name in sorted(found)]

    def follow(self, dotted: str) -> tuple[Module, str] | str:
        """What a dotted name means, followed through the project's imports.

        A module of the project with a name that it defines, or the dotted name of something that is not its own.
        """
        for _ in range(_FOLLOWED_MAX):
            parts = dotted.split(".")
            lengths = range(len(parts) - 1, 0, -1)
            found = next(((m, n) for n in lengths if (m := self.get(".".join(parts[:n]))) is not None), None)
            if found is None:
                return dotted
            module, length = found
            name = parts[length]
            if name in module.definitions:
                return module, name
            onward = module.imports.get(name) or self._starred(module, name)
            if onward is None:
                return dotted
            dotted = ".".join([onward, *parts[length + 1 :]])
        return dotted

    def _starred(self, module: Module, name: str) -> str | None:
        stars = (star for star in module.stars if (m := self.get(star)) is not None and name in m.definitions)
        return next((f"{star}.{name}" for star in stars), None)

    def _parse(self, name: str) -> Module | None:
        path = self._file(self._directory, name)
        if path is None and self._installed is not None and name.partition(".")[0] == self._installed[0]:
            path = self._file(self._installed[1], name)
        if path is None:
            return None
        try:
            with tokenize.open(path) as file:
                source = file.read(_BYTES_MAX)
            return Module(name, path, source)
        except (OSError, SyntaxError, ValueError, RecursionError, tokenize.TokenError):
            return None

    @staticmethod
    def _file(directory: Path, name: str) -> Path | None:
        base = directory.joinpath(*name.split("."))
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
        return None

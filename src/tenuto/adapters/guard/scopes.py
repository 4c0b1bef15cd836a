"""What the names in one definition mean: by imports, by what binds them, and paths and sets by their making."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from tenuto.adapters.guard.modules import Module, Modules, imported
from tenuto.adapters.guard.reaches import PATH_KEEPING, reach_of

__all__ = ["Scope"]

_BUILTINS = frozenset(("hash", "input", "open"))
_PATHS = ("pathlib.Path", "pathlib.PosixPath")
_SET_METHODS = frozenset(("copy", "difference", "intersection", "symmetric_difference", "union"))

Values = dict[str, list[ast.expr | None]]
"""What each name is given, in the order it is written; None for what cannot be read off."""


class Scope:
    """The names of a definition, those of the functions within it among them."""

    def __init__(self, module: Module, modules: Modules, definition: ast.AST) -> None:
        self._module = module
        self._modules = modules
        self._imports: dict[str, str] = {}
        self._paths: set[str] = set()
        self._sets: set[str] = set()
        self.local: frozenset[str] = frozenset()
        """The names that mean neither an import nor anything of the module or of Python."""
        if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._learn(definition)

    def _learn(self, definition: ast.AST) -> None:
        given: Values = {}
        paths: set[str] = set()
        for node in ast.walk(definition):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imports |= imported(node, self._module.package)
            elif isinstance(node, ast.arg):
                given.setdefault(node.arg, []).append(None)
                if node.annotation is not None and self.resolve(node.annotation) in _PATHS:
                    paths.add(node.arg)
            elif node is not definition:
                _bind(node, given)
        self.local = frozenset(given.keys() - self._imports.keys())
        self._paths |= paths
        for name, values in given.items():
            known = [value for value in values if value is not None]
            if known and len(known) == len(values):
                if all(map(self.is_path, known)):
                    self._paths.add(name)
                if all(map(self.is_set, known)):
                    self._sets.add(name)

    def resolve(self, node: ast.expr) -> str | None:
        """The dotted name that an expression stands for; None for anything that is not such a name."""
        if isinstance(node, ast.Attribute):
            head = self.resolve(node.value)
            return None if head is None else f"{head}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        name = node.id
        if name in self._imports:
            return self._imports[name]
        if name in self.local:
            return None
        if name in self._module.definitions:
            return f"{self._module.name}.{name}"
        if name in self._module.imports:
            return self._module.imports[name]
        starred = next((f"{s}.{name}" for s in self._module.stars if self._is_known(f"{s}.{name}")), None)
        return starred or (f"builtins.{name}" if name in _BUILTINS else None)

    def _is_known(self, dotted: str) -> bool:
        return not isinstance(self._modules.follow(dotted), str) or reach_of(dotted, arguments=0) is not None

    def is_path(self, node: ast.expr) -> bool:
        """Whether an expression is a `pathlib.Path`, as far as can be read off."""
        match node:
            case ast.Name(id=name):
                return name in self._paths or self._made(name, self.is_path)
            case ast.BinOp(left=left, op=ast.Div()):
                return self.is_path(left)
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in PATH_KEEPING:
                return self.is_path(value)
            case ast.Attribute(value=value, attr="parent"):
                return self.is_path(value)
            case ast.Call(func=function):
                return self.resolve(function) in _PATHS
            case _:
                return False

    def is_set(self, node: ast.expr) -> bool:
        """Whether an expression is a set of something else than whole numbers, as far as can be read off."""
        match node:
            case ast.Set(elts=elements):
                return not all(isinstance(one, ast.Constant) and isinstance(one.value, int) for one in elements)
            case ast.SetComp():
                return True
            case ast.Name(id=name):
                return name in self._sets or self._made(name, self.is_set)
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return self.is_set(left)
            case ast.Call(func=ast.Name(id="set" | "frozenset" as name)):
                return name not in self.local
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _SET_METHODS:
                return self.is_set(value)
            case _:
                return False

    def _made(self, name: str, is_one: Callable[[ast.expr], bool]) -> bool:
        """Whether a name of the module's top level is always made as one."""
        values = [] if name in self.local else list(_values(self._module.definitions.get(name, ())))
        return bool(values) and all(map(is_one, values))


def _bind(node: ast.AST, given: Values) -> None:
    """Take in the names that a node of a definition binds."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            given.setdefault(name, []).append(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            given.setdefault(name, []).append(value)
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            given.setdefault(name, []).append(value)
        case ast.Name(id=name, ctx=ast.Store()):
            given.setdefault(name, [])
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            given.setdefault(name, []).append(None)
        case ast.ExceptHandler(name=str() as name):
            given.setdefault(name, []).append(None)
        case _:
            pass


def _values(definitions: Iterable[ast.AST]) -> Iterator[ast.expr]:
    for definition in definitions:
        if isinstance(definition, ast.Assign | ast.AnnAssign) and definition.value is not None:
            yield definition.value

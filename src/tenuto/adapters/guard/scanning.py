"""Reading one definition for what reaches the world, and for what else of its project it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import NamedTuple

from tenuto.adapters.guard.modules import Module, Modules
from tenuto.adapters.guard.reaches import FILES, PATH_READING, SETS, Reach, reach_of
from tenuto.adapters.guard.scopes import Scope

__all__ = ["Hit", "Scan"]

_ANY_ORDER = frozenset(("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"))
_IN_ORDER = frozenset(("dict", "enumerate", "filter", "iter", "list", "map", "next", "repr", "str", "tuple", "zip"))
_MANY = 99


class Hit(NamedTuple):
    """A place that reaches out, and the name of what it uses."""

    node: ast.expr
    name: str
    reach: Reach


class Scan:
    """Reads one definition of a module. `hits` are what it reaches itself, `uses` what it needs of the project."""

    def __init__(self, module: Module, modules: Modules, definition: ast.AST) -> None:
        self._modules = modules
        self._scope = Scope(module, modules, definition)
        self.hits: list[Hit] = []
        self.uses: list[tuple[Module, str]] = []
        self._visit(definition)

    def _visit(self, node: ast.AST) -> None:
        match node:
            case ast.Name(ctx=ast.Load()):
                self._name(node, node, None)
                return
            case ast.Attribute(value=value):
                if not self._name(node, node, None):
                    self._visit(value)
                return
            case ast.Call():
                self._call(node)
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._each((*node.decorator_list, node.args, *node.body))
                return
            case ast.arg():
                return  # an annotation reaches nothing
            case ast.AnnAssign(value=given):
                self._each(() if given is None else (given,))
                return
            case ast.ExceptHandler(body=body):
                self._each(body)
                return
            case ast.For(iter=iterated):
                self._ordered((iterated,))
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
                self._ordered(part.iter for part in node.generators)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                self._ordered(one.value for one in elements if isinstance(one, ast.Starred))
            case ast.FormattedValue(value=shown):
                self._ordered((shown,))
            case _:
                pass
        self._each(ast.iter_child_nodes(node))

    def _each(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self._visit(node)

    def _name(self, node: ast.expr, whole: ast.expr, arguments: int | None) -> bool:
        """Take a name in, as something of the project or as a reach. Whether it stands for anything known."""
        dotted = self._scope.resolve(node)
        if dotted is None:
            return False
        meant = self._modules.follow(dotted)
        if not isinstance(meant, str):
            self.uses.append(meant)
            return True
        reach = reach_of(meant, arguments=arguments)
        if reach is not None:
            self.hits.append(Hit(whole, meant.removeprefix("builtins."), reach))
        return reach is not None

    def _call(self, node: ast.Call) -> None:
        function = node.func
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        unknown = any(isinstance(one, ast.Starred) for one in node.args) or any(k.arg is None for k in node.keywords)
        if not self._name(function, node, _MANY if unknown else len(given)):
            self._each((function.value if isinstance(function, ast.Attribute) else function,))
        if isinstance(function, ast.Attribute):
            self._method(function, node)
        builtin = function.id if isinstance(function, ast.Name) and function.id not in self._scope.local else ""
        # The smallest of equals is the first of them, so `min` with a key asks for an order too.
        keyed = builtin in ("min", "max") and bool(node.keywords)
        if keyed or builtin in _IN_ORDER:
            self._ordered(node.args)
        for one in given:
            if builtin in _ANY_ORDER and not keyed:
                self._unordered(one)
            else:
                self._visit(one)

    def _method(self, function: ast.Attribute, call: ast.Call) -> None:
        if function.attr in PATH_READING and self._scope.is_path(function.value):
            self.hits.append(Hit(call, f"Path.{function.attr}", FILES))
        elif function.attr == "pop" and not call.args and self._scope.is_set(function.value):
            self.hits.append(Hit(call, "set.pop", SETS))
        elif function.attr in ("join", "fromkeys"):
            self._ordered(call.args)

    def _ordered(self, nodes: Iterable[ast.expr]) -> None:
        """Values that are taken in their order: a set has none."""
        self.hits.extend(Hit(node, "a set", SETS) for node in nodes if self._scope.is_set(node))

    def _unordered(self, node: ast.expr) -> None:
        """An argument of something that does not care for order, such as `sorted`."""
        if isinstance(node, ast.GeneratorExp | ast.ListComp):
            self._each(ast.iter_child_nodes(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IN_ORDER:
            for one in node.args:
                self._unordered(one)
        else:
            self._visit(node)

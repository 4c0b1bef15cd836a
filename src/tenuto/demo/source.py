"""The facts of one Python file, by its syntax tree alone: nothing of the repository is imported or run."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tenuto.demo.facts import Mention

__all__ = ["Definition", "ImportedName", "PythonFile", "read_python"]

_REQUEST = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b.*")
_LINE_MAX, _TODO_LENGTH_MAX = 1_000, 100
_TYPING = ("TypeVar", "ParamSpec", "TypeVarTuple")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedName:
    """`from module import name` (`name` empty for `import module`); `level` counts the leading dots."""

    level: int
    module: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A function, class or method: `name` is qualified by its class; `lines` is how long it is."""

    docstring: str
    lines: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonFile:
    """What one file defines, needs and says. `identifiers` holds every name it mentions."""

    definitions: tuple[Definition, ...]
    docstring: str
    identifiers: frozenset[str]
    imports: tuple[ImportedName, ...]
    lines: int
    names: tuple[str, ...]
    todos: tuple[Mention, ...]
    undocumented: tuple[str, ...]


def read_python(data: bytes, *, package: bool = False) -> PythonFile:
    """Parse one file; `package` says that it is an `__init__.py`, whose imports are what it offers.

    Raises ValueError with a short reason where it is not Python that this interpreter understands.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = io.TextIOWrapper(io.BytesIO(data), encoding, newline=None).read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in somebody's file is not our warning
            tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"does not parse (line {error.lineno})" if error.lineno else "does not parse") from error
    except UnicodeError as error:
        raise ValueError("its encoding cannot be read") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError("does not parse") from error
    top = tuple(_flat(tree.body))
    names = _public_names(top, package=package)
    definitions = tuple(_definitions(top, frozenset(names)))
    imports, identifiers = _mentions(tree)
    return PythonFile(
        definitions=definitions,
        docstring=ast.get_docstring(tree) or "",
        identifiers=identifiers,
        imports=imports,
        lines=len(text.splitlines()),
        names=names,
        todos=_todos(text),
        undocumented=tuple(one.name for one in definitions if not one.docstring),
    )


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at module level, those under `if`, `try` and `with` included. No recursion: `elif` nests deep."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        match statement:
            case ast.If(body=inner, orelse=other):
                waiting.extend(reversed((*inner, *other)))
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
                handled = (line for handler in handlers for line in handler.body)
                waiting.extend(reversed((*inner, *handled, *other, *last)))
            case ast.With(body=inner):
                waiting.extend(reversed(inner))
            case _:
                pass


def _public_names(top: Sequence[ast.stmt], *, package: bool) -> tuple[str, ...]:
    """What `__all__` says; else functions, classes and constants; else variables; else what is private."""
    bound: dict[str, bool] = {}
    variables: set[str] = set()
    for statement in top:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound[name] = True
            case ast.Assign(value=ast.Call(func=ast.Name(id=kind) | ast.Attribute(attr=kind))) if kind in _TYPING:
                pass
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Name):
                        bound.setdefault(target.id, target.id[:1].isupper())
                        variables.add(target.id)
            case ast.AnnAssign(target=ast.Name(id=name)):
                bound.setdefault(name, name[:1].isupper())
                variables.add(name)
            case ast.ImportFrom(names=aliases, level=level):
                for alias in aliases:
                    bound.setdefault(alias.asname or alias.name, package and level > 0)
            case ast.Import(names=aliases):
                for alias in aliases:
                    bound.setdefault(alias.asname or alias.name.split(".")[0], False)
            case _:
                pass
    declared = _declared(top)
    if declared is not None:
        return tuple(dict.fromkeys(name for name in declared if name in bound))
    public = {name: shown for name, shown in bound.items() if not name.startswith("_") and name != "*"}
    return (
        tuple(name for name, shown in public.items() if shown)
        or tuple(name for name in public if name in variables)
        or tuple(name for name, shown in bound.items() if shown and not name.startswith("__"))
    )


def _declared(top: Sequence[ast.stmt]) -> tuple[str, ...] | None:
    """The names of a literal `__all__`, or None."""
    for statement in top:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List() | ast.Tuple() as value)
            ) if isinstance(value, ast.List | ast.Tuple):
                return tuple(
                    item.value
                    for item in value.elts
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                )
            case _:
                pass
    return None


def _definitions(top: Sequence[ast.stmt], names: frozenset[str]) -> Iterator[Definition]:
    seen: set[str] = set()
    for statement in top:
        if not isinstance(statement, _Defined) or statement.name not in names or _repeated(statement):
            continue
        found = [_definition(statement, statement.name)]
        if isinstance(statement, ast.ClassDef):
            found.extend(
                _definition(method, f"{statement.name}.{method.name}")
                for method in statement.body
                if isinstance(method, _Function) and not method.name.startswith("_") and not _repeated(method)
            )
        for one in found:
            if one.name not in seen:
                seen.add(one.name)
                yield one


def _definition(node: _Defined, name: str) -> Definition:
    return Definition(
        docstring=ast.get_docstring(node) or "", lines=(node.end_lineno or node.lineno) - node.lineno + 1, name=name
    )


def _repeated(node: _Defined) -> bool:
    """Whether a definition only adds to another of the same name (`@overload`, `@size.setter`)."""
    for decorator in node.decorator_list:
        last = decorator.attr if isinstance(decorator, ast.Attribute) else ""
        if isinstance(decorator, ast.Name):
            last = decorator.id
        if last in ("overload", "setter", "deleter"):
            return True
    return False


def _mentions(tree: ast.Module) -> tuple[tuple[ImportedName, ...], frozenset[str]]:
    """What a file imports, and every name it mentions. One walk: it is most of the work on a file."""
    imports: list[ImportedName] = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            imports.extend(ImportedName(level=0, module=alias.name, name="") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
            module = node.module or ""
            imports.extend(ImportedName(level=node.level, module=module, name=alias.name) for alias in node.names)
    return tuple(imports), frozenset(names)


def _todos(text: str) -> tuple[Mention, ...]:
    if not _REQUEST.search(text):
        return ()
    found: list[Mention] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            hit = _REQUEST.search(token.string) if token.type == tokenize.COMMENT else None
            if hit:
                found.append(
                    Mention(line=token.start[0], text=" ".join(hit[0][:_LINE_MAX].split())[:_TODO_LENGTH_MAX])
                )
    except (tokenize.TokenError, SyntaxError):
        return tuple(found)  # the parser took the file: what was read so far stands
    return tuple(found)

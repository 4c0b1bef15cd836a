"""Reads the words of an expression into its parts: operators by how tightly they bind, macros, paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenuto.core.expressions.cel.access import Has, Index, Path, Select, Variable
from tenuto.core.expressions.cel.cursor import Cursor, other_word
from tenuto.core.expressions.cel.functions import FUNCTIONS, call
from tenuto.core.expressions.cel.literals import INTEGER_MAX
from tenuto.core.expressions.cel.macros import MACROS, macro
from tenuto.core.expressions.cel.nodes import (
    Binary,
    Choice,
    Items,
    Literal,
    Minus,
    Node,
    Not,
    Object,
    Several,
)
from tenuto.core.expressions.cel.tokens import Token
from tenuto.core.expressions.errors import FlawError, Part
from tenuto.core.expressions.references import ROOTS, Reference, check_path
from tenuto.core.expressions.wording import cut
from tenuto.core.problems import did_you_mean

__all__ = ["DEPTH_MAX", "NESTING_MAX", "Parser"]

NESTING_MAX = 32
"""How deep brackets, calls, signs before values and choices may stand in one another."""
DEPTH_MAX = 100
"""How deep the parts of an expression may be nested; a row of n `+` is n deep, one of `&&` or `||` is 1 deep."""

_BINDS = {
    "||": 1, "&&": 2,
    "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_CONSTANTS = {"true": True, "false": False, "null": None}


class Parser(Cursor):
    """Reads one expression. `references` holds every path it reads from the scope, in the order of writing."""

    def __init__(self, tokens: Sequence[Token], within: tuple[Part, ...]) -> None:
        super().__init__(tokens)
        self._within = within
        self._nesting = 0
        self._variables: list[str] = []
        self.slots = 0
        self.references: list[Reference] = []

    def parse(self) -> Node:
        """The whole expression. Raises FlawError."""
        if self.next.kind == "end":
            raise FlawError("there is nothing in it", f"write a path that starts with one of: {', '.join(ROOTS)}")
        node = self._expression()
        if self.at < len(self.tokens) - 1:
            self.refuse_next("an operator or the end")
        _check_depth(node)
        return node

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise FlawError(
                f"the expression is nested more than {NESTING_MAX} deep", "make it flatter", at=self.next.at
            )
        condition = self._binary(1)
        if self.take("?"):
            yes = self._expression()
            self.expect(":", "between the two sides of the choice")
            no = self._expression()
            condition = Choice(condition.at, no.end, condition, yes, no)
        self._nesting -= 1
        return condition

    def _binary(self, binds: int) -> Node:
        """Operators that bind at least so tightly; in a row of equal ones the left goes first."""
        left = self._unary()
        while True:
            token = self.next
            sign = token.value if token.kind in ("sign", "name") else ""
            found = _BINDS.get(sign, 0)
            if found < binds:
                return left
            if found <= 2:
                left = self._several(left, sign, found)
                continue
            self.at += 1
            right = self._binary(found + 1)
            left = Binary(left.at, right.end, sign, left, right)

    def _several(self, left: Node, sign: str, binds: int) -> Node:
        parts = [left]
        while self.take(sign):
            parts.append(self._binary(binds + 1))
        return Several(left.at, parts[-1].end, sign == "||", tuple(parts))

    def _unary(self) -> Node:
        token = self.next
        if token.kind != "sign" or token.value not in ("!", "-"):
            return self._member(self._primary())
        self.at += 1
        if token.value == "-" and self.next.kind == "number":
            return self._member(self._number(token.at, minus=True))
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise FlawError(f"more than {NESTING_MAX} signs stand before a value", "take some away", at=token.at)
        operand = self._unary()
        self._nesting -= 1
        return (Not if token.value == "!" else Minus)(token.at, operand.end, operand)

    def _number(self, at: int, *, minus: bool) -> Node:
        token = self.next
        self.at += 1
        value = -token.value if minus else token.value
        if value == INTEGER_MAX and type(value) is int:
            raise FlawError("the number is too large", "write one of at most 64 bits", at=at)
        return Literal(at, token.end, value)

    def _primary(self) -> Node:
        token = self.next
        if token.kind == "number":
            return self._number(token.at, minus=False)
        if token.kind == "string":
            self.at += 1
            return Literal(token.at, token.end, token.value)
        if token.kind == "name":
            return self._name(token)
        if self.take("("):
            inner = self._expression()
            self.expect(")", "to close the (")
            return inner
        if self.take("["):
            items = self._listed("]")
            return Items(token.at, self.done, tuple(items))
        if self.take("{"):
            return self._object(token)
        return self.refuse_next("a value")

    def _object(self, opened: Token) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self.take("}"):
            key = self._expression()
            self.expect(":", "after the key")
            pairs.append((key, self._expression()))
            if not self.take(","):
                self.expect("}", "to close the {")
                break
        return Object(opened.at, self.done, tuple(pairs))

    def _listed(self, close: str) -> list[Node]:
        """Expressions with commas between them, up to and with what closes them; a comma may be the last."""
        found: list[Node] = []
        while not self.take(close):
            found.append(self._expression())
            if not self.take(","):
                self.expect(close, "to close the list" if close == "]" else "to close the call")
                break
        return found

    def _name(self, token: Token) -> Node:
        name = token.value
        self.at += 1
        if self.next.value == "(" and self.next.kind == "sign":
            self.at += 1
            return self._has(token) if name == "has" else self._call(token, ())
        if name in self._variables:
            slot = len(self._variables) - 1 - self._variables[::-1].index(name)
            return Variable(token.at, token.end, slot)
        if name in _CONSTANTS:
            return Literal(token.at, token.end, _CONSTANTS[name])
        if name in ROOTS:
            return self._path(token)
        raise FlawError(f"{cut(name)} is unknown", _fix_name(name), at=token.at)

    def _path(self, root: Token) -> Node:
        """A root with all constant parts that follow it."""
        parts: list[Part] = []
        end = root.end
        while (found := self._constant_part()) is not None:
            part, length = found
            parts.append(part)
            self.at += length
            end = self.done
        wrong = check_path(root.value, parts)
        if wrong is not None:
            raise FlawError(*wrong, at=root.at)
        reference = Reference(root.value, tuple(parts), root.at, self._within)
        self.references.append(reference)
        return Path(root.at, end, reference)

    def _constant_part(self) -> tuple[Part, int] | None:
        """A `.name`, `[0]` or `["key"]` that comes next, and how many words it has; None for a call."""
        tokens = self.tokens[self.at : self.at + 3]
        if len(tokens) < 3 or tokens[0].kind != "sign":
            return None
        if tokens[0].value == "." and tokens[1].kind == "field":
            called = tokens[2].kind == "sign" and tokens[2].value == "("
            return None if called else (tokens[1].value, 2)
        if tokens[0].value == "[" and tokens[2].kind == "sign" and tokens[2].value == "]":
            value = tokens[1].value
            if tokens[1].kind == "string" or (tokens[1].kind == "number" and type(value) is int):
                return value, 3
        return None

    def _member(self, node: Node) -> Node:
        while True:
            if self.take("["):
                index = self._expression()
                self.expect("]", "to close the [")
                node = Index(node.at, self.done, node, index)
            elif self.take("."):
                name = self.next
                if name.kind != "field":
                    raise FlawError("a name is missing after the dot", 'write .name, [0] or ["odd key"]', at=name.at)
                self.at += 1
                node = self._call(name, (node,)) if self.take("(") else Select(node.at, name.end, node, name.value)
            else:
                return node

    def _call(self, name: Token, receiver: tuple[Node, ...]) -> Node:
        """A call whose ( is taken; `receiver` is what stands before the dot."""
        if receiver and name.value in MACROS:
            return self._macro(name, receiver[0])
        function = FUNCTIONS.get(name.value)
        if function is None:
            fix = _fix_name(name.value, (*FUNCTIONS, "has", *MACROS))
            raise FlawError(f"there is no function {cut(name.value)}", fix, at=name.at)
        if not (function.member if receiver else function.free):
            form = f"{name.value}(...)" if receiver else f"text.{name.value}(...)"
            raise FlawError(f"{name.value} is not called so", f"write {form}", at=name.at)
        arguments = (*receiver, *self._listed(")"))
        if len(arguments) not in function.arguments:
            takes = _counts(count - len(receiver) for count in function.arguments)
            given = len(arguments) - len(receiver)
            raise FlawError(f"{name.value} takes {takes}, not {given} arguments", f"give it {takes}", at=name.at)
        end = self.done
        return call(name.value, arguments[0].at if receiver else name.at, end, arguments)

    def _has(self, name: Token) -> Node:
        count = len(self.references)
        argument = self._expression()
        self.expect(")", "to close the call")
        end = self.done
        if isinstance(argument, Select):
            return Has(name.at, end, argument.operand, argument.name)
        if not isinstance(argument, Path) or not argument.reference.parts or len(self.references) != count + 1:
            raise FlawError("has() asks for a key of an object", "write has(inputs.name)", at=name.at)
        full = argument.reference
        key = full.parts[-1]
        if check_path(full.root, full.parts[:-1]) is not None:
            raise FlawError(f"{full} is always there", f"compare it, as in {full} != null", at=name.at)
        if not isinstance(key, str):
            raise FlawError("has() asks for a key of an object", "compare size() with a number", at=name.at)
        operand = Path(argument.at, argument.end, Reference(full.root, full.parts[:-1], full.offset, full.within))
        return Has(name.at, end, operand, key)

    def _macro(self, name: Token, items: Node) -> Node:
        variable = self.next
        if variable.kind != "name" or variable.value in (*_CONSTANTS, "in"):
            self.refuse_next(f"the name of {name.value}'s variable")
        self.at += 1
        self.expect(",", f"after the name of {name.value}'s variable")
        self._variables.append(variable.value)
        self.slots = max(self.slots, len(self._variables))
        start = self.at
        bodies = self._listed(")")
        size = self.at - start
        slot = len(self._variables) - 1
        self._variables.pop()
        counts = MACROS[name.value]
        if len(bodies) + 1 not in counts:
            wanted = _counts(counts)
            raise FlawError(
                f"{name.value} takes {wanted}, not {len(bodies) + 1} arguments", f"give it {wanted}", at=name.at
            )
        return macro(name.value, items.at, self.done, items, slot, size, bodies)


def _counts(counts: Iterable[int]) -> str:
    return " or ".join(map(str, counts))


def _fix_name(name: str, known: Sequence[str] = ()) -> str:
    meant = other_word(name)
    if meant:
        return meant
    if known:
        return did_you_mean(name, known)
    return f"a path starts with one of: {', '.join(ROOTS)}"


def _check_depth(node: Node) -> None:
    """Refuse what is nested too deep, without recursion."""
    level = [node]
    depth = 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise FlawError(f"the parts are nested more than {DEPTH_MAX} deep", "make the expression shorter")
        level = [inner for one in level for inner in one.inner]

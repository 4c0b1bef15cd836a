"""Python's values as a plan holds them: durations, money, JSON with expressions, schemas of types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from tenuto.adapters.building.expressions import Expression
from tenuto.adapters.tools.signatures import schema_of
from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import canonical
from tenuto.core.durations import read_duration_ms
from tenuto.core.plan import Step
from tenuto.core.problems import shorten
from tenuto.errors import UsageError

__all__ = ["Duration", "Money", "Names", "json_value", "milliseconds", "names", "output_schema", "usd_micros"]

Duration = timedelta | str
"""`timedelta(minutes=20)` or `"20m"`."""
Money = Decimal | str | int
"""US dollars: `Decimal("0.50")`, `"0.50"` or whole ones. No floats: they cannot say most sums."""
Names = str | Step | AgentSpec | Iterable[str | Step | AgentSpec]
"""One or several steps or agents: themselves, or their names."""

_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(duration: Duration | None) -> int | None:
    """A duration in whole milliseconds. UsageError."""
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        whole, rest = divmod(duration, _MILLISECOND)
        if rest or whole < 0:
            raise UsageError(f"{duration!r} is no number of milliseconds", fix="round it")
        return whole
    try:
        return read_duration_ms(duration)
    except ValueError as error:
        raise UsageError(str(error).partition(";")[0], fix="write one such as 20m, or give a timedelta") from None


def usd_micros(money: Money | None) -> int | None:
    """Dollars in millionths. UsageError."""
    if money is None:
        return None
    try:
        if isinstance(money, (float, bool)):
            raise InvalidOperation
        micros = Decimal(money) * 1_000_000
        if not micros.is_finite() or micros != int(micros) or micros < 0:
            raise InvalidOperation
    except (InvalidOperation, TypeError):
        fix = 'give a text or a Decimal with at most 6 decimals, such as "2.00"'
        raise UsageError(f"{shorten(repr(money))} is no sum of dollars", fix=fix) from None
    return int(micros)


def json_value(value: Any, where: str) -> msgspec.Raw:
    """A value as JSON: what msgspec can write, and expressions anywhere in it. UsageError names `where` it stands."""
    if isinstance(value, msgspec.Raw):
        return value
    try:
        return msgspec.Raw(canonical(msgspec.to_builtins(value, enc_hook=_written, str_keys=True)))
    except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
        raise UsageError(f"this is no JSON value: {shorten(str(error))}", where=where, fix="give JSON") from None


def _written(value: Any) -> Any:
    if isinstance(value, Expression):
        return str(value)
    raise NotImplementedError(f"a {type(value).__name__} has no JSON form")


def output_schema(output: Any, where: str) -> msgspec.Raw | None:
    """The schema of a type (dataclass, TypedDict, msgspec, pydantic, `list[int]`), or the schema that is given."""
    if output is None or isinstance(output, msgspec.Raw):
        return output
    if isinstance(output, Mapping):
        return json_value(output, where)
    of_itself = getattr(output, "model_json_schema", None)
    if callable(of_itself):
        return json_value(of_itself(), where)
    try:
        return schema_of(output)
    except (TypeError, ValueError) as error:
        fix = "give a type that msgspec knows, or a JSON Schema"
        raise UsageError(f"this type has no JSON Schema: {shorten(str(error))}", where=where, fix=fix) from None


def names(given: Names) -> tuple[str, ...]:
    """The names of steps or agents."""
    if isinstance(given, (str, Step, AgentSpec)):
        given = (given,)
    return tuple(one if isinstance(one, str) else one.name for one in given)

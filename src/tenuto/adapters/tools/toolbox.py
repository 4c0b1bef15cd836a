"""The tools of a run by name, and whether what goes in and comes out meets their schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tenuto.core.canonical import parse
from tenuto.core.tools import ToolSpec
from tenuto.errors import UsageError
from tenuto.ports.tools import Tool

__all__ = ["COMPLAINTS_MAX", "Toolbox"]

COMPLAINTS_MAX = 5
COMPLAINT_CHARS_MAX = 300

Check = Callable[[Any], list[str]]


class Toolbox(Mapping[str, Tool]):
    """Tools by name, frozen. UsageError where two have one name.

    Validation raises nothing: it returns at most `COMPLAINTS_MAX` lines `$.path: what is wrong`, none if all is well.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        self._checks: dict[bytes, Check] = {}
        for tool in tools:
            other = self._tools.get(tool.spec.name)
            if other is not None:
                raise UsageError(
                    f"two tools are named {tool.spec.name!r}: {other.spec.tool_id} and {tool.spec.tool_id}",
                    fix="rename one of them",
                )
            self._tools[tool.spec.name] = tool

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def specs(self) -> tuple[ToolSpec, ...]:
        """The specs of all tools, by name."""
        return tuple(self._tools[name].spec for name in sorted(self._tools))

    def validate_arguments(self, spec: ToolSpec, arguments: msgspec.Raw) -> list[str]:
        """What is wrong with the arguments of a call."""
        return self.complaints(bytes(spec.parameters), arguments)

    def validate_output(self, spec: ToolSpec, value: msgspec.Raw) -> list[str]:
        """What is wrong with an `ok` output. A tool that declares no output schema meets it."""
        if spec.output_schema is None:
            return []
        return self.complaints(bytes(spec.output_schema), value)

    def complaints(self, schema: bytes, value: msgspec.Raw) -> list[str]:
        """What is wrong with a JSON value by a JSON Schema."""
        try:
            instance = parse(value)
        except ValueError as error:
            return [f"$: not JSON: {error}"[:COMPLAINT_CHARS_MAX]]
        check = self._checks.get(schema)
        if check is None:
            check = self._checks[schema] = _compile(schema)
        return check(instance)


def _compile(schema: bytes) -> Check:
    import jsonschema_rs

    try:
        # Offline: a schema of a tool server must not make this process fetch anything.
        validator = jsonschema_rs.validator_for(parse(schema), offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        complaint = f"$: the tool's own schema cannot be used: {_first_line(error)}"[:COMPLAINT_CHARS_MAX]
        return lambda _instance: [complaint]

    def check(instance: Any) -> list[str]:
        complaints: list[str] = []
        try:
            for error in validator.iter_errors(instance):
                complaints.append(f"{_path(error.instance_path)}: {error.message}"[:COMPLAINT_CHARS_MAX])
                if len(complaints) == COMPLAINTS_MAX:
                    break
        except ValueError as error:
            complaints.append(f"$: cannot be validated: {_first_line(error)}"[:COMPLAINT_CHARS_MAX])
        return complaints

    return check


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _path(parts: Iterable[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)

"""Files a plan names and takes in: prompts and output schemas. A plan holds their text, never the path alone."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Raw

from tenuto.adapters.plans.kinds import RELATIVE, TEXT
from tenuto.adapters.plans.reading import Kind, Reading, Unreadable, described
from tenuto.adapters.plans.text import decode, mark_at, read_bytes
from tenuto.adapters.plans.yaml_document import KeyPath, read_yaml, written
from tenuto.core.canonical import canonical
from tenuto.core.expressions import ExpressionError, parse_value
from tenuto.core.plan import PlanWork
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError

__all__ = ["OUTPUT_SCHEMA", "PROMPT", "PromptText", "looks_like_a_file", "sub_plan_file"]

_PROMPT_ENDINGS = (".md", ".txt")
_PLAN_ENDINGS = (".yaml", ".yml")
_SCHEMA_ENDINGS = (".json", ".yaml", ".yml")


class PromptText(str):
    """The text of a prompt; `source` is the file it is from, relative to the plan, or empty."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str = "") -> PromptText:
        made = super().__new__(cls, text)
        made.source = source
        return made


def looks_like_a_file(text: str) -> bool:
    """Whether a prompt is taken for the path of a file: one line that ends like one, without expressions."""
    return "\n" not in text and "${{" not in text and text.endswith(_PROMPT_ENDINGS)


def _prompt(reading: Reading, value: Any, path: KeyPath) -> PromptText:
    if isinstance(value, dict) and set(value) == {"text"}:
        return PromptText(TEXT.read(reading, value["text"], (*path, "text")))
    if not isinstance(value, str):
        what = f"a prompt is a text, a path or {{text: TEXT}}, not {described(value)}"
        raise Unreadable(what, "write it in quotes")
    if not looks_like_a_file(value):
        return PromptText(value)
    source = RELATIVE.read(reading, value, path)
    text = decode(_read(reading, source, path), (reading.directory / source).as_posix())
    reading.sources[written(path)] = source
    # Line ends are those of the checkout, not of the prompt: the same plan on every machine.
    return PromptText(text.replace("\r\n", "\n"), source)


def _output_schema(reading: Reading, value: Any, path: KeyPath) -> Raw:
    place = ""
    if isinstance(value, str):
        if not value.endswith(_SCHEMA_ENDINGS):
            fix = "write a JSON Schema here, or the path of a .json or .yaml file"
            raise Unreadable(f"{shorten(value)!r} is not a schema", fix)
        source = RELATIVE.read(reading, value, path)
        file = (reading.directory / source).as_posix()
        data = _read(reading, source, path)
        value = _read_json(data, file) if source.endswith(".json") else read_yaml(data, file).value
        reading.sources[written(path)] = source
        place = f"{file}:1:1"
    if not isinstance(value, dict):
        raise Unreadable(f"a schema is an object, not {described(value)}", "write keys such as type:", place=place)
    wrong = _wrong_schema(value)
    if wrong is not None:
        raise Unreadable(*wrong, place=place)
    return Raw(canonical(value))


def sub_plan_file(reading: Reading, value: Any, path: KeyPath) -> PlanWork:
    """A plan file's path, read when the whole file is (`plan_file`), or an expression for a plan to come."""
    if not isinstance(value, str):
        what = f"a sub-plan is a path, an expression or a plan, not {described(value)}"
        raise Unreadable(what, "write it in quotes, or its steps below")
    if "${{" in value:
        return PlanWork(text=value)
    if not value.endswith(_PLAN_ENDINGS):
        fix = "write the path of a .yaml file, or an expression such as ${{ steps.draft.output }}"
        raise Unreadable(f"{shorten(value)!r} is not a plan file", fix)
    source = RELATIVE.read(reading, value, path)
    _refuse_closed(reading, source)
    return PlanWork(source=source)


def _refuse_closed(reading: Reading, source: str) -> None:
    if reading.closed:
        raise Unreadable(f"a plan that a step has produced names no files: {shorten(source)}", "write its text here")


def _read(reading: Reading, source: str, path: KeyPath) -> bytes:
    _refuse_closed(reading, source)
    where = reading.document.place(path)
    try:
        return read_bytes(reading.directory / source, source, where=where)
    except InvalidPlanError as error:
        fix = (
            f"{error.fix}; a text that only looks like a path is written as {{text: ...}}"
            if path[-1] == "prompt"
            else error.fix
        )
        raise Unreadable(error.what, fix) from None


def _read_json(data: bytes, file: str) -> Any:
    text = decode(data, file)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {shorten(twice)} is written twice")
        return found

    def refused(word: str) -> Any:
        raise ValueError(f"{word} is not a number in JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refused)
        canonical(value)
    except json.JSONDecodeError as error:
        mark = mark_at(text, error.pos)
        where = f"{file}:{mark.line}:{mark.column}"
        raise InvalidPlanError(f"this cannot be read as JSON: {error.msg}", where=where, fix="correct it") from None
    except (ValueError, RecursionError) as error:
        what = "values are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidPlanError(shorten(what), where=f"{file}:1:1", fix="correct it") from None
    return value


def _wrong_schema(schema: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with an output schema, and how to fix it."""
    outside = _outside_reference(schema)
    if outside is not None:
        return (
            f"the schema refers to {shorten(outside)}, outside itself",
            "put it into $defs and refer to #/$defs/NAME",
        )
    try:
        if not parse_value(schema).constant:
            return None  # filled in when the step starts, and checked then
    except ExpressionError:
        return None  # reported with the plan's other templates
    import jsonschema_rs  # 30 ms that `--help` need not pay

    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        at = "/".join(map(str, error.instance_path))
        return f"this is not a JSON Schema: {at}: {shorten(error.message)}", "correct it"
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return f"this is not a JSON Schema: {shorten(str(error))}", "drop $schema, or name a published draft"
    return None


def _outside_reference(value: Any) -> str | None:
    """A `$ref` that leads out of the schema: fetching it would make the plan depend on the network."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str) and not item.startswith("#"):
                return item
        parts = list(value.values())
    else:
        parts = value if isinstance(value, list) else []
    return next((found for part in parts if (found := _outside_reference(part)) is not None), None)


PROMPT = Kind(
    _prompt,
    {
        "oneOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
                "additionalProperties": False,
            },
        ]
    },
)
OUTPUT_SCHEMA = Kind(_output_schema, {"type": ["object", "string"]})

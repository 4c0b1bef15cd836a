"""The demo's Python steps: what stands between the agents' choices. Pure but for the tools they ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tenuto.demo.facts import FileFacts, Survey
from tenuto.demo.page import Choices, by_area, render

__all__ = ["ToolCaller", "group", "survey", "write"]

_NAMES_SHOWN, _CHARACTERS_SHOWN = 6, 160


class ToolCaller(Protocol):
    """The part of a step program's `ctx` that these steps use."""

    def tool(self, name: str, /, **arguments: Any) -> Awaitable[Any]: ...


async def survey(ctx: ToolCaller, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The scout: take the facts, and list what there is to choose and for whom.

    Gives `facts`, and for namer, quoter and sorter the lists `topics`, `quotes` and `areas`; an item holds the
    candidates and the lines its prompt shows. A file with one candidate is nobody's question.
    """
    facts = await ctx.tool("survey_repository", max_files=inputs["max_files"])
    files = msgspec.convert(facts, Survey).files
    return {
        "areas": [_area_item(one) for one in files if len(one.areas) > 1],
        "facts": facts,
        "quotes": [_quote_item(one) for one in files if len(one.quotes) > 1],
        "topics": [_topic_item(one) for one in files if len(one.words) > 1],
    }


async def group(ctx: ToolCaller, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sort the files by area; gives an item for each area of several files, for the guide."""
    del ctx
    facts = msgspec.convert(inputs["survey"]["facts"], Survey)
    areas = by_area(facts, answers(inputs["survey"]["areas"], inputs["areas"], key="path", field="area"))
    return [
        {
            "area": area,
            "files": [one.path for one in files[:_NAMES_SHOWN]],
            "listing": "\n".join(_shown_in_area(one) for one in files[:_NAMES_SHOWN]),
        }
        for area, files in areas.items()
        if len(files) > 1
    ]


async def write(ctx: ToolCaller, inputs: Mapping[str, Any]) -> Any:
    """The editor: put facts and choices on the page, and write it. Gives the paths of the page and its check."""
    items = inputs["survey"]
    choices = Choices(
        areas=answers(items["areas"], inputs["areas"], key="path", field="area"),
        first=answers(inputs["group"], inputs["first"], key="area", field="file"),
        quotes=answers(items["quotes"], inputs["quotes"], key="path", field="best"),
        topics=answers(items["topics"], inputs["topics"], key="path", field="topic"),
    )
    return await ctx.tool("write_page", text=render(msgspec.convert(items["facts"], Survey), choices))


def answers(items: Sequence[Mapping[str, Any]], outputs: object, *, key: str, field: str) -> dict[str, str]:
    """What the children of a `foreach` chose, by the `key` of their items.

    `outputs` holds one output for each item, in the same order. A child that failed has none with that field and
    is left out: the page then goes without its choice.
    """
    given: Iterable[object] = outputs if isinstance(outputs, list | tuple) else ()
    found: dict[str, str] = {}
    for item, output in zip(items, given, strict=False):
        value = output.get(field) if isinstance(output, Mapping) else None
        if isinstance(value, str):
            found[item[key]] = value
    return found


def _topic_item(one: FileFacts) -> dict[str, Any]:
    return {
        "about": _about(one),
        "listing": ", ".join(one.words),
        "names": _names(one),
        "path": one.path,
        "words": list(one.words),
    }


def _quote_item(one: FileFacts) -> dict[str, Any]:
    sentences = [candidate.text for candidate in one.quotes]
    return {
        "listing": "\n".join(f"- {text}" for text in sentences),
        "names": _names(one),
        "path": one.path,
        "sentences": sentences,
    }


def _area_item(one: FileFacts) -> dict[str, Any]:
    return {
        "about": _about(one),
        "areas": list(one.areas),
        "listing": ", ".join(one.areas),
        "names": _names(one),
        "path": one.path,
    }


def _about(one: FileFacts) -> str:
    return one.summary or (one.quotes[0].text if one.quotes else "")


def _names(one: FileFacts) -> str:
    return ", ".join(one.names[:_NAMES_SHOWN])[:_CHARACTERS_SHOWN] or "nothing public"


def _shown_in_area(one: FileFacts) -> str:
    return f"{one.path}: {one.lines} lines, used by {len(one.used_by)} files"

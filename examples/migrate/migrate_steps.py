"""The programs of the migration's steps."""

from __future__ import annotations

from typing import Any


async def find(ctx: Any, inputs: Any) -> list[dict[str, Any]]:
    """Every place to migrate; `listing` is what a prompt shows."""
    places = await ctx.tool("find_places", old=inputs.old, new=inputs.new)
    return [{**place, "listing": "\n".join(f"- {form.strip()}" for form in place["forms"])} for place in places]


async def settle(ctx: Any, inputs: Any) -> list[dict[str, Any]]:
    """Each place with the form it gets: the chosen one, else the plainest."""
    del ctx
    asked = [place["key"] for place in inputs.places if len(place["forms"]) > 1]
    chosen = {key: answer["form"] for key, answer in zip(asked, inputs.choices, strict=True) if answer}
    return [
        {name: place[name] for name in ("key", "path", "line", "text")}
        | {"form": chosen.get(place["key"], place["forms"][0])}
        for place in inputs.places
    ]


async def edit(ctx: Any, inputs: Any) -> str:
    """One place."""
    await ctx.tool("write_form", **inputs.item)
    return inputs.item["key"]


async def leftovers(ctx: Any, inputs: Any) -> None:
    """Fails where the old name is still used."""
    found = await ctx.tool("find_leftovers", old=inputs.old)
    if found:
        raise ValueError(f"{inputs.old} is still used: {', '.join(found[:5])}")

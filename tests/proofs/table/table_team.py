"""The program of the team plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from table_words import question  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from tenuto.runtime.context import Context, Inputs


async def work(ctx: Context, inputs: Inputs) -> Any:
    first, second = await ctx.gather(ctx.model("First"), ctx.model(question(inputs.text)))
    answer = await ctx.ask("checker", {"first": first, "second": second})
    return [answer, await ctx.tool("weigh", text="ten")]

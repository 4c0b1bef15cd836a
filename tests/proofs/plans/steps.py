"""The program of the mixed plan: two calls side by side, a child agent, a seeded draw, a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.runtime.context import Context, Inputs


async def review(ctx: Context, inputs: Inputs) -> Any:
    summary, risks = await ctx.gather(ctx.model("Summarise", inputs.text), ctx.model("List the risks", inputs.text))
    draw = ctx.random().randrange(1_000)
    answer = await ctx.ask("critic", {"draw": draw, "risks": risks, "summary": summary})
    await ctx.tool("write_file", path="review.txt", content=str(answer))
    return answer

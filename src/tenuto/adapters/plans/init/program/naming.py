"""The step of names.plan.yaml. The world is reached through `ctx` only, so the run can be resumed and replayed."""

from __future__ import annotations

from typing import Any

from tenuto import Context


async def choose(ctx: Context, inputs: dict[str, Any]) -> str:
    """Ask for several names side by side; the shortest one wins."""
    prompts = [f"Name number {number} for {inputs['topic']}." for number in range(inputs["tries"])]
    names = await ctx.gather(*(ctx.model(prompt) for prompt in prompts))
    return min(map(str, names), key=lambda name: (len(name), name))

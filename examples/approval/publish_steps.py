"""What happens to a draft that nobody wanted."""

from __future__ import annotations

from typing import Any


async def keep(ctx: Any, inputs: Any) -> str:
    """The draft goes into a file, with the reason."""
    draft = inputs.draft
    text = f"<!-- not published: {inputs.why} -->\n# {draft['title']}\n\n{draft['body']}\n"
    await ctx.tool("write_file", path="DRAFT.md", content=text)
    return "DRAFT.md"

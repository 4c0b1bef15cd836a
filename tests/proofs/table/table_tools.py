"""Tools of the team plan."""

from __future__ import annotations

from tenuto import tool
from tenuto.ports.workspace import TreeEdit


@tool(effect="workspace")
async def note(text: str, files: TreeEdit) -> int:
    """Write a text down."""
    await files.write("note.txt", text.encode())
    return len(text)


@tool(effect="workspace", version="7", timeout_ms=9_000)
async def weigh(text: str, files: TreeEdit) -> int:
    """Say how heavy a text is."""
    await files.write("weight.txt", str(len(text)).encode())
    return len(text)

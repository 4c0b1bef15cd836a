"""The one tool that reaches outside. Here that is a file; a real one would ask a server."""

from __future__ import annotations

from tenuto import tool
from tenuto.ports.workspace import TreeEdit


@tool(effect="idempotent", approval=True)
async def publish(title: str, body: str, files: TreeEdit) -> str:
    """Publish an announcement. A person must agree to each call."""
    await files.write("ANNOUNCEMENT.md", f"# {title}\n\n{body}\n".encode())
    return f"published: {title}"

"""Plausible token counts for providers that have no tokenizer: about four UTF-8 bytes a token.

Never above the bound that holds use: one token for each byte of the request, and a profile's constant.
"""

from __future__ import annotations

from tenuto.core.models import ModelRequest

__all__ = ["request_bytes", "tokens_of_request", "tokens_of_text"]


def tokens_of_text(text: str) -> int:
    """Tokens of a text, at least one where there is any."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def request_bytes(request: ModelRequest) -> int:
    """UTF-8 bytes of everything that a request sends: messages, tool calls, tool schemas, output schema."""
    total = sum(
        len(message.text.encode("utf-8", "replace"))
        + sum(len(call.name) + len(bytes(call.arguments)) for call in message.tool_calls)
        for message in request.messages
    )
    total += sum(len(t.name) + len(t.description.encode()) + len(bytes(t.parameters)) for t in request.tools)
    return total + (len(bytes(request.output_schema)) if request.output_schema is not None else 0)


def tokens_of_request(request: ModelRequest) -> int:
    """Input tokens of a request."""
    return 8 + request_bytes(request) // 4

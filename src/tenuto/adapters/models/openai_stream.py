"""A streamed chat completion put together again, as the completion that would have come whole."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.models.reply_bodies import ReplyStream, bad_reply, cleaned, cut_reply
from tenuto.adapters.models.reply_parts import CALLS_MAX
from tenuto.core.canonical import clean
from tenuto.errors import ModelCallError
from tenuto.ports.model import OnText

__all__ = ["CHAT_STREAM", "ChatStream", "TextPieces"]

CHAT_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
"""What asks for a stream, beside the rest of a body."""


class TextPieces:
    """A text that comes in pieces, bounded; a pair of surrogates may be spread over two of them."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._pieces: list[str] = []
        self._size = 0

    def add(self, piece: Any) -> bool:
        """Take what is a text and not empty; whether it was."""
        if piece is None or piece == "":
            return False
        if not isinstance(piece, str):
            raise bad_reply("the content of the reply is no text")
        self._size += len(piece)
        if self._size > self._bytes_max:
            raise ModelCallError(
                f"the answer is larger than {self._bytes_max} bytes",
                kind="too_large",
                sent=True,
                retryable=False,
                status=200,
            )
        self._pieces.append(piece)
        return True

    def text(self) -> str:
        joined = "".join(self._pieces)
        return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Call:
    """A tool call whose arguments come in pieces."""

    def __init__(self, bytes_max: int) -> None:
        self.id: Any = None
        self.name: Any = None
        self.arguments = TextPieces(bytes_max)

    def body(self) -> dict[str, Any]:
        return {"id": self.id, "function": {"name": self.name, "arguments": self.arguments.text()}}


class ChatStream(ReplyStream):
    """Chunks with `choices[0].delta`; the last ones bring the finish reason and the usage.

    A stream that ends without a finish reason was cut, also where the server closed it in good order.
    """

    def __init__(self, on_text: OnText, bytes_max: int) -> None:
        self._on_text = on_text
        self._bytes_max = bytes_max
        self._text = TextPieces(bytes_max)
        self._refusal = TextPieces(bytes_max)
        self._calls: dict[int, _Call] = {}
        self._finish: Any = None
        self._usage: Any = None
        self._labels: dict[str, Any] = {}
        self._error: Any = None
        self._begun = False
        self._chosen = False

    def take(self, event: dict[str, Any]) -> bool:
        self._begun = True
        if event.get("error") is not None:
            self._error = event["error"]
            return True
        for key in ("model", "system_fingerprint"):
            if event.get(key):
                self._labels[key] = event[key]
        if event.get("usage") is not None:
            self._usage = event["usage"]
        choices = event.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise bad_reply("the choices of the reply are no list")
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise bad_reply("a choice of the reply is no object")
            if choice.get("index", 0) == 0:
                self._chosen = True
                self._choice(choice)
        return False

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise bad_reply("the reply has no message")
        if self._text.add(delta.get("content")):
            self._on_text(clean(delta["content"]))
        self._refusal.add(delta.get("refusal"))
        items = delta.get("tool_calls") or ()
        if not isinstance(items, list | tuple):
            raise bad_reply("the tool calls of the reply are no list")
        for item in items:
            self._call(item)
        if choice.get("finish_reason") is not None:
            self._finish = choice["finish_reason"]

    def _call(self, item: Any) -> None:
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict):
            raise bad_reply("a tool call of the reply has no name")
        index = item.get("index")
        if index is None:  # servers that send each call whole need no numbers
            index = len(self._calls) if item.get("id") or not self._calls else max(self._calls)
        if type(index) is not int or not 0 <= index < CALLS_MAX:
            raise bad_reply("a tool call of the reply has no usable index")
        call = self._calls.setdefault(index, _Call(self._bytes_max))
        call.id = call.id or item.get("id")
        call.name = call.name or function.get("name")
        call.arguments.add(function.get("arguments"))

    def body(self) -> dict[str, Any]:
        if self._error is not None:
            return cleaned({"error": self._error})
        if self._begun and not self._chosen:
            raise bad_reply("the reply has no choices")
        if self._finish is None:
            raise cut_reply("the stream ended before the answer did")
        message = {
            "content": self._text.text(),
            "refusal": self._refusal.text(),
            "tool_calls": [self._calls[index].body() for index in sorted(self._calls)],
        }
        choice = {"finish_reason": self._finish, "message": message}
        return cleaned({"choices": [choice], "usage": self._usage, **self._labels})

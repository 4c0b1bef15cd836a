"""What takes the body of a server's answer: whole, or as a stream of events (`text/event-stream`).

Both end as one JSON object in the form of an answer that was not streamed, so it is read in one way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from tenuto.core.canonical import clean
from tenuto.errors import ModelCallError

__all__ = [
    "ReplyStream",
    "Sink",
    "StreamedBody",
    "WholeBody",
    "bad_reply",
    "cleaned",
    "cut_reply",
    "decode_object",
]

STREAM_FACTOR = 16
"""A stream may have that many times the bytes of a whole reply: every few letters come in their own envelope."""


class Sink(Protocol):
    """Takes a body in pieces."""

    accept: str
    """The media types to ask for."""
    bytes_max: int
    """What may be read, and what it may unpack to."""

    def feed(self, piece: bytes) -> bool:
        """Take the next bytes. True: the reply is complete, and what follows does not matter. ModelCallError."""
        ...

    def body(self) -> dict[str, Any]:
        """The reply, when all was fed. ModelCallError where it cannot be used, or is not complete."""
        ...


class ReplyStream(Protocol):
    """Puts the events of a stream together; one for each format."""

    def take(self, event: dict[str, Any]) -> bool:
        """Take one event, as decoded: a character may be spread over two. True where it is the last one."""
        ...

    def body(self) -> dict[str, Any]:
        """See `Sink.body`."""
        ...


class WholeBody(Sink):
    """A body that is one JSON object."""

    def __init__(self, bytes_max: int) -> None:
        self.accept = "application/json"
        self.bytes_max = bytes_max
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> bool:
        self._parts.append(piece)
        return False

    def body(self) -> dict[str, Any]:
        return decode_object(b"".join(self._parts))


class StreamedBody(Sink):
    """A body that comes as events, or as one object where the server ignores that a stream was asked for.

    Which one it is, is seen by its first byte and not by its type, since servers name types carelessly.
    """

    def __init__(self, stream: ReplyStream, bytes_max: int) -> None:
        """`bytes_max` bounds a whole reply, and a line of a stream."""
        self.accept = "text/event-stream, application/json"
        self.bytes_max = bytes_max * STREAM_FACTOR
        self._line_max = bytes_max
        self._stream = stream
        self._lines: _EventLines | None = None
        self._whole: WholeBody | None = None
        self._whole_bytes = 0

    def feed(self, piece: bytes) -> bool:
        if self._lines is not None:
            return self._lines.feed(piece)
        if self._whole is None:
            piece = piece.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not piece:
                return False
            if not piece.startswith((b"{", b"[")):
                self._lines = _EventLines(self._take, self._line_max)
                return self._lines.feed(piece)
            self._whole = WholeBody(self._line_max)
        self._whole_bytes += len(piece)
        if self._whole_bytes > self._line_max:
            raise _too_large("the answer", self._line_max)
        return self._whole.feed(piece)

    def body(self) -> dict[str, Any]:
        return self._stream.body() if self._whole is None else self._whole.body()

    def _take(self, data: bytes) -> bool:
        return self._stream.take(_load_object(data))


class _EventLines:
    """Cuts a stream into events and hands on the data of each. Names, ids and comments are passed over."""

    def __init__(self, take: Callable[[bytes], bool], line_max: int) -> None:
        self._take = take
        self._line_max = line_max
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> bool:
        """True as soon as an event was the last one."""
        buffer = self._buffer
        buffer += piece
        start = 0
        while (end := buffer.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(buffer[start:end]).removesuffix(b"\r")
            start = end + 1
            self._searched = start
            if self._line(line):
                return True
        del buffer[:start]
        self._searched = len(buffer)
        if len(buffer) > self._line_max:
            raise _too_large("a line of the answer", self._line_max)
        return False

    def _line(self, line: bytes) -> bool:
        if line:
            if line.startswith(b"data:"):
                part = line[5:].removeprefix(b" ")
                if part.strip() == b"[DONE]":
                    return True
                self._data_bytes += len(part)
                if self._data_bytes > self._line_max:
                    raise _too_large("an event of the answer", self._line_max)
                self._data.append(part)
            return False
        data = b"\n".join(self._data)
        self._data.clear()
        self._data_bytes = 0
        return bool(data) and self._take(data)


def decode_object(data: bytes) -> dict[str, Any]:
    """A JSON object in canonical range (lone surrogates cleaned). ModelCallError `bad_response` for all else."""
    return cleaned(_load_object(data))


def cleaned(value: dict[str, Any]) -> dict[str, Any]:
    """A decoded object in canonical range. ModelCallError where it cannot be brought there."""
    try:
        found: dict[str, Any] = clean(value)
    except (ValueError, RecursionError) as error:
        raise bad_reply(f"the reply cannot be kept ({type(error).__name__})") from error
    return found


def _load_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_reply(f"the reply is not JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise bad_reply("the reply is no JSON object")
    return value


def bad_reply(what: str) -> ModelCallError:
    """An answer that came and cannot be read: it was counted, and the next one may be readable."""
    return ModelCallError(what, kind="bad_response", sent=True, retryable=True, status=200)


def cut_reply(what: str) -> ModelCallError:
    """An answer whose end is missing."""
    return ModelCallError(what, kind="cut_stream", sent=True, retryable=True, status=200)


def _too_large(what: str, limit: int) -> ModelCallError:
    return ModelCallError(
        f"{what} is larger than {limit} bytes", kind="too_large", sent=True, retryable=False, status=200
    )

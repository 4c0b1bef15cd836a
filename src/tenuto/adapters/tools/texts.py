"""Files as text and back: one treatment of encodings, line ends and byte order marks for all file tools.

- A file that begins with a byte order mark of UTF-8 or UTF-16 is read as that, and written with the same mark.
- One of valid UTF-8 without NUL is UTF-8.
- One without NUL and other control characters is Latin-1, in which every byte is a character. It is written as
  Latin-1 again where that has all of its characters, else as UTF-8.
- Any other is binary, and not read as text.

Where every line ends in CR LF the text has LF, and CR LF again when it is written. Mixed ends stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["BinaryFileError", "Encoding", "FileText", "file_text"]

Encoding = Literal[
    "utf-8", "utf-8 with a byte order mark", "utf-16 (little endian)", "utf-16 (big endian)", "latin-1"
]

_MARKS: tuple[tuple[bytes, Encoding, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8 with a byte order mark", "utf-8"),
    (b"\xff\xfe", "utf-16 (little endian)", "utf-16-le"),
    (b"\xfe\xff", "utf-16 (big endian)", "utf-16-be"),
)
_CODECS = {name: (mark, codec) for mark, name, codec in _MARKS}
_NO_TEXT = bytes({*range(32), 127} - set(b"\t\n\r\f\b\x1b"))


class BinaryFileError(ValueError):
    """A file that is no text; the message says how that is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileText:
    """The text of a file with LF line ends, and what is needed to write it as it was."""

    text: str
    encoding: Encoding = "utf-8"
    carriage_returns: bool = False

    def having(self, text: str) -> FileText:
        """Another text in this file's manner. Characters that Latin-1 lacks make it UTF-8."""
        if self.carriage_returns:
            text = text.replace("\r\n", "\n")
        encoding = self.encoding
        if encoding == "latin-1":
            try:
                text.encode("latin-1")
            except UnicodeEncodeError:
                encoding = "utf-8"
        return replace(self, text=text, encoding=encoding)

    def matching(self, piece: str) -> str:
        """A piece of text as it would stand in `text`."""
        return piece.replace("\r\n", "\n") if self.carriage_returns else piece

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        text = self.text.replace("\n", "\r\n") if self.carriage_returns else self.text
        mark, codec = _CODECS.get(self.encoding, (b"", self.encoding))
        return mark + text.encode(codec)


def file_text(data: bytes) -> FileText:
    """Read a file's bytes. BinaryFileError."""
    for mark, name, codec in _MARKS:
        if data.startswith(mark):
            try:
                return _with_line_feeds(data[len(mark) :].decode(codec), name)
            except UnicodeDecodeError as error:
                raise BinaryFileError(f"it begins as {codec} and is none from byte {error.start} on") from None
    if b"\0" in data:
        raise BinaryFileError("it holds NUL bytes")
    try:
        return _with_line_feeds(data.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    if data.translate(None, _NO_TEXT) != data:
        raise BinaryFileError("it is no UTF-8 and holds control characters")
    return _with_line_feeds(data.decode("latin-1"), "latin-1")


def _with_line_feeds(text: str, encoding: Encoding) -> FileText:
    pairs = text.count("\r\n")
    if not pairs or pairs != text.count("\n") or pairs != text.count("\r"):
        return FileText(text=text, encoding=encoding)
    return FileText(text=text.replace("\r\n", "\n"), encoding=encoding, carriage_returns=True)

"""Text that comes from outside: bytes to characters, under one size and one set of rules, and places in it."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import NamedTuple

from tenuto.core.printable import printable
from tenuto.errors import InvalidPlanError

__all__ = ["BYTES_MAX", "Mark", "decode", "is_file", "mark_at", "no_file", "read_bytes"]

BYTES_MAX = 1 << 20
"""Bytes of the longest plan, agent, prompt or schema file."""

_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Mark(NamedTuple):
    """A place in a text, both counted from 1."""

    line: int
    column: int


def read_bytes(path: Path, file: str, *, where: str = "") -> bytes:
    """The bytes of a regular file of at most `BYTES_MAX`. `file` names it in messages, `where` who wants it.

    Raises InvalidPlanError.
    """
    place = where or file
    named = f"{printable(file)} " if where else ""
    try:
        if not path.is_file():
            fix = f"create it, or correct the path: {printable(path.name)}"
            raise InvalidPlanError(f"{named}{no_file(path)}", where=place, fix=fix)
        with path.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not usable"
        raise InvalidPlanError(f"{named}cannot be read: {reason}", where=place, fix="check path and access") from None
    return data


def is_file(path: Path) -> bool:
    """Whether there is a file; also of a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def no_file(path: Path, kind: str = "a file") -> str:
    """What there is at a path instead of what was looked for: of a link, where it leads."""
    try:
        if path.exists():
            return f"is not {kind}"
        if not path.is_symlink():
            return "is not there"
    except OSError:  # a name that no file can have
        return "is not there"
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link that leads back to itself"
    return f"is a link to {printable(str(path.readlink()))}, which is not there"


def decode(data: bytes, file: str, *, first_line: int = 1) -> str:
    """UTF-8 bytes as text. Raises InvalidPlanError for too many bytes, other encodings and control characters."""
    start = f"{file}:{first_line}:1"
    if len(data) > BYTES_MAX:
        raise InvalidPlanError(f"the file is larger than {BYTES_MAX} bytes", where=start, fix="split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidPlanError("the file is UTF-16", where=start, fix="save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidPlanError(
            "the file starts with a byte order mark", where=start, fix="save it as UTF-8 without BOM"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = mark_at(data[: error.start].decode("utf-8"), error.start)
        where = f"{file}:{mark.line + first_line - 1}:{mark.column}"
        raise InvalidPlanError(
            f"the byte 0x{data[error.start]:02x} is not UTF-8", where=where, fix="save the file as UTF-8"
        ) from None
    found = _REFUSED.search(text)
    if found is not None:
        mark = mark_at(text, found.start())
        where = f"{file}:{mark.line + first_line - 1}:{mark.column}"
        name = "NUL" if found[0] == "\x00" else f"the character U+{ord(found[0]):04X}"
        raise InvalidPlanError(
            f"{name} is not allowed", where=where, fix="remove it, or write it as an escape in double quotes"
        )
    return text


def mark_at(text: str, offset: int) -> Mark:
    """The place of a character; an offset beyond the end is the end."""
    before = text[:offset]
    line = before.count("\n") + 1
    return Mark(line, len(before) - (before.rfind("\n") + 1) + 1)

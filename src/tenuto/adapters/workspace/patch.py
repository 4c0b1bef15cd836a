"""Git-style patches between trees: what `git apply --binary` takes, and what people read."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b85encode
from collections.abc import Iterator, Mapping, Sequence

from tenuto.adapters.workspace.differences import list_changes
from tenuto.adapters.workspace.lines import Change, changed_ranges, split_lines
from tenuto.adapters.workspace.trees import SYMLINK, TreeReader
from tenuto.core.ids import Digest
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["patch_between"]

_CONTEXT = 3
_TEXT_BYTES_MAX = 16 << 20
"""Longer bodies are written whole, as binary ones are."""
_NULL = "0" * 40
_BATCH = 64
_LINES = 1_000
"""Lines of a binary body that are put together at once."""
_QUOTED = re.compile(rb'["\\\x00-\x1f\x7f-\xff]')
_SHORT = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}


async def patch_between(reader: TreeReader, before: Digest, after: Digest) -> bytes:
    """The patch from one tree to another; empty where nothing differs. Same trees, same bytes, on every machine.

    Index lines carry git's own blob ids (SHA-1), in full, as `git diff --binary --full-index` writes them.
    """
    changes = await list_changes(reader, before, after)
    parts: list[bytes] = []
    for at in range(0, len(changes), _BATCH):
        batch = changes[at : at + _BATCH]
        bodies = await reader.bodies({entry.digest for change in batch for entry in change[1:] if entry is not None})
        for change in batch:
            parts += _change(change, bodies)
    return b"".join(parts)


def _change(change: FileChange, bodies: Mapping[Digest, bytes]) -> Iterator[bytes]:
    before, after = change.before, change.after
    if before is not None and after is not None and (before.mode == SYMLINK) != (after.mode == SYMLINK):
        yield from _file(change.path, before, None, bodies)
        yield from _file(change.path, None, after, bodies)
    else:
        yield from _file(change.path, before, after, bodies)


def _file(
    path: str, before: TreeEntry | None, after: TreeEntry | None, bodies: Mapping[Digest, bytes]
) -> Iterator[bytes]:
    old = b"" if before is None else bodies[before.digest]
    new = b"" if after is None else bodies[after.digest]
    old_name, new_name = _quote(b"a/", path), _quote(b"b/", path)
    yield b"diff --git " + old_name + b" " + new_name + b"\n"
    mode = ""
    if before is None and after is not None:
        yield f"new file mode {after.mode}\n".encode()
    elif after is None and before is not None:
        yield f"deleted file mode {before.mode}\n".encode()
    elif before is not None and after is not None:
        if before.mode == after.mode:
            mode = f" {after.mode}"
        else:
            yield f"old mode {before.mode}\nnew mode {after.mode}\n".encode()
    if before is not None and after is not None and old == new:
        return
    old_id = _NULL if before is None else _blob_id(old)
    new_id = _NULL if after is None else _blob_id(new)
    yield f"index {old_id}..{new_id}{mode}\n".encode()
    if old == new:
        return
    if _binary(old) or _binary(new):
        yield b"GIT binary patch\n"
        yield from _literal(new)
        yield from _literal(old)
        return
    yield b"--- " + (b"/dev/null" if before is None else _ended(old_name)) + b"\n"
    yield b"+++ " + (b"/dev/null" if after is None else _ended(new_name)) + b"\n"
    yield from _hunks(split_lines(old), split_lines(new))


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[bytes]:
    group: list[Change] = []
    for change in changed_ranges(old, new):
        if group and change.start - group[-1].end > 2 * _CONTEXT:
            yield from _hunk(old, new, group)
            group = []
        group.append(change)
    yield from _hunk(old, new, group)


def _hunk(old: Sequence[bytes], new: Sequence[bytes], group: Sequence[Change]) -> Iterator[bytes]:
    lead = min(_CONTEXT, group[0].start)
    trail = min(_CONTEXT, len(old) - group[-1].end)
    start, end = group[0].start - lead, group[-1].end + trail
    new_start, new_end = group[0].new_start - lead, group[-1].new_end + trail
    yield f"@@ -{_range(start, end)} +{_range(new_start, new_end)} @@\n".encode()
    at = start
    for change in group:
        yield from (_line(b" ", line) for line in old[at : change.start])
        yield from (_line(b"-", line) for line in old[change.start : change.end])
        yield from (_line(b"+", line) for line in new[change.new_start : change.new_end])
        at = change.end
    yield from (_line(b" ", line) for line in old[at:end])


def _range(start: int, end: int) -> str:
    count = end - start
    first = start + 1 if count else start
    return str(first) if count == 1 else f"{first},{count}"


def _line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n\\ No newline at end of file\n"


def _literal(data: bytes) -> Iterator[bytes]:
    """A whole body: zlib, then base 85 in lines of up to 52 bytes, each led by its length."""
    yield b"literal %d\n" % len(data)
    packed = _stored(data)
    for start in range(0, len(packed), 52 * _LINES):
        many = packed[start : start + 52 * _LINES]
        yield b"".join(_packed_line(many[at : at + 52]) for at in range(0, len(many), 52))
    yield b"\n"


def _packed_line(part: bytes) -> bytes:
    length = len(part) + 64 if len(part) <= 26 else len(part) + 70
    return bytes((length,)) + b85encode(part, pad=True) + b"\n"


def _stored(data: bytes) -> bytes:
    """A zlib stream without compression, put together here: what a library compresses to differs by its version."""
    parts = [b"\x78\x01"]
    blocks = range(0, len(data), 0xFFFF) or range(1)
    for at in blocks:
        block = data[at : at + 0xFFFF]
        last = at == blocks[-1]
        size = len(block)
        parts.append(bytes((last,)) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + block)
    parts.append(zlib.adler32(data).to_bytes(4, "big"))
    return b"".join(parts)


def _binary(data: bytes) -> bool:
    return b"\0" in data[:8_000] or len(data) > _TEXT_BYTES_MAX


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _quote(prefix: bytes, path: str) -> bytes:
    """A name as git writes it: in quotes with escapes where it has other than plain ASCII characters."""
    name = prefix + path.encode()
    if _QUOTED.search(name) is None:
        return name
    return b'"' + _QUOTED.sub(lambda found: _SHORT.get(found[0][0], b"\\%03o" % found[0][0]), name) + b'"'


def _ended(name: bytes) -> bytes:
    """A name in a `---` or `+++` line: a TAB marks the end of one with spaces."""
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name

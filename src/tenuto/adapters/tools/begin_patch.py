"""Reading the patches that many coding agents write: `*** Begin Patch`, files by verb, hunks without line numbers."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.adapters.tools.patches import FilePatch, Hunk, PatchError

__all__ = ["BEGIN", "read_begin_patch"]

BEGIN = "*** Begin Patch"
_END = "*** End Patch"
_ADD, _DELETE, _UPDATE = "*** Add File: ", "*** Delete File: ", "*** Update File: "
_MOVE = "*** Move to: "
_EOF = "*** End of File"


def read_begin_patch(text: str) -> tuple[FilePatch, ...]:
    """The files of such a patch. PatchError, with the line of the patch."""
    lines = text.strip("\n").split("\n")
    begin = next((at for at, line in enumerate(lines) if line.strip() == BEGIN), None)
    end = next((at for at, line in enumerate(lines) if line.strip() == _END), None)
    if begin is None or end is None or end < begin:
        raise PatchError(f"the patch has no line {_END!r}")
    skipped = len(text) - len(text.lstrip("\n"))
    body = [(at + 1 + skipped, lines[at]) for at in range(begin + 1, end)]
    starts = [at for at, (_, line) in enumerate(body) if line.startswith((_ADD, _DELETE, _UPDATE))]
    if not starts or starts[0] != 0:
        number = body[0][0] if body else begin + 2
        raise PatchError(
            f"patch line {number}: write {_ADD.strip()}, {_UPDATE.strip()} or {_DELETE.strip()} and a path"
        )
    stops = [*starts[1:], len(body)]
    return tuple(_file(body[start:stop]) for start, stop in zip(starts, stops, strict=True))


def _file(lines: Sequence[tuple[int, str]]) -> FilePatch:
    number, head = lines[0]
    rest = lines[1:]
    if head.startswith(_ADD):
        wrong = next((n for n, line in rest if not line.startswith("+")), None)
        if wrong is not None:
            raise PatchError(f"patch line {wrong}: each line of a new file begins with +")
        added = tuple(line[1:] for _, line in rest)
        hunk = Hunk(line=number, start=1, old=(), new=added, new_ends=True)
        path = head.removeprefix(_ADD).strip()
        return FilePatch(line=number, source=None, target=path, hunks=(hunk,) if added else ())
    if head.startswith(_DELETE):
        if any(line.strip() for _, line in rest):
            raise PatchError(f"patch line {rest[0][0]}: nothing follows a file that is deleted")
        return FilePatch(line=number, source=head.removeprefix(_DELETE).strip(), target=None)
    source = target = head.removeprefix(_UPDATE).strip()
    if rest and rest[0][1].startswith(_MOVE):
        target = rest[0][1].removeprefix(_MOVE).strip()
        rest = rest[1:]
    hunks = _hunks(rest)
    if not hunks and source == target:
        raise PatchError(f"patch line {number}: nothing is changed in {source}; hunks begin with @@")
    return FilePatch(line=number, source=source, target=target, hunks=hunks)


def _hunks(lines: Sequence[tuple[int, str]]) -> tuple[Hunk, ...]:
    found: list[Hunk] = []
    after: list[str] = []
    block: list[tuple[int, str]] = []

    def close(*, at_end: bool = False) -> None:
        if block:
            found.append(_hunk(block, tuple(after), at_end=at_end))
            after.clear()
            block.clear()

    for number, line in lines:
        if line == "@@" or line.startswith("@@ "):
            close()
            if line[3:].strip():
                after.append(line[3:])
        elif line.strip() == _EOF:
            close(at_end=True)
        elif line[:1] in (" ", "+", "-", ""):
            block.append((number, line))
        else:
            raise PatchError(
                f"patch line {number}: a line of a hunk begins with a blank, + or -, not with {line[:1]!r}"
            )
    close()
    return tuple(found)


def _hunk(block: Sequence[tuple[int, str]], after: tuple[str, ...], *, at_end: bool) -> Hunk:
    lines = list(block)
    while lines and not lines[-1][1]:
        lines.pop()  # blank lines between hunks belong to nobody
    if not any(line[:1] in ("+", "-") for _, line in lines):
        raise PatchError(f"patch line {block[0][0]}: the hunk changes nothing; mark lines with + or -")
    return Hunk(
        line=block[0][0],
        after=after,
        old=tuple(line[1:] for _, line in lines if line[:1] != "+"),
        new=tuple(line[1:] for _, line in lines if line[:1] != "-"),
        context=sum(line[:1] not in ("+", "-") for _, line in lines),
        at_end=at_end,
    )

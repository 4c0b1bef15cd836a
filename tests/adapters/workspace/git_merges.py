"""git's own merge of three trees, and seeded trees for it whose edits are not adjacent."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tenuto.adapters.workspace.trees import EXECUTABLE, FILE, SYMLINK

Tree = Mapping[str, tuple[str, bytes]]
"""Path -> (mode, body)."""


class Case(NamedTuple):
    """Three trees to merge."""

    base: Tree
    ours: Tree
    theirs: Tree


def tree_id(files: Tree) -> str:
    """The name that git gives to a tree."""
    below: dict[str, dict[str, tuple[str, bytes]]] = {}
    entries: list[tuple[bytes, bytes]] = []
    for path, (mode, body) in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = (mode, body)
        else:
            entries.append((name.encode(), _entry(mode, name, _hash(b"blob", body))))
    for name, inner in below.items():
        entries.append((name.encode() + b"/", _entry("40000", name, tree_id(inner))))
    return _hash(b"tree", b"".join(entry for _, entry in sorted(entries)))


def _entry(mode: str, name: str, digest: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(digest)


def _hash(kind: bytes, body: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


class Merged(NamedTuple):
    """What git came to: the tree, and whether it is whole."""

    tree: str
    clean: bool


def merge_by_git(directory: Path, cases: Sequence[Case]) -> list[Merged]:
    """`git merge-tree` of every case; one repository holds all of them."""
    subprocess.run(["git", "init", "-q", "--bare", str(directory)], check=True)
    stream = b"".join(_commits(number, case) for number, case in enumerate(cases))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=directory, input=stream, check=True)
    return [_merge(directory, number) for number in range(len(cases))]


def _merge(directory: Path, number: int) -> Merged:
    asked = ["git", "merge-tree", "--write-tree", "--no-messages", f"ours{number}", f"theirs{number}"]
    done = subprocess.run(asked, cwd=directory, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return Merged(done.stdout.split(b"\n", 1)[0].decode(), done.returncode == 0)


def files_of(directory: Path, tree: str) -> dict[str, tuple[str, bytes]]:
    """The files of a tree that git made."""
    listed = subprocess.run(["git", "ls-tree", "-r", "-z", tree], cwd=directory, capture_output=True, check=True)
    found: dict[str, tuple[str, bytes]] = {}
    for line in listed.stdout.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, blob = head.decode().split()
        shown = subprocess.run(["git", "cat-file", "blob", blob], cwd=directory, capture_output=True, check=True)
        found[path.decode()] = (mode, shown.stdout)
    return found


def _commits(number: int, case: Case) -> bytes:
    """The three trees as commits, in the language of `git fast-import`."""
    parts: list[bytes] = []
    for offset, (name, tree) in enumerate(zip(case._fields, case, strict=True)):
        parts.append(b"commit refs/heads/%s%d\nmark :%d\n" % (name.encode(), number, 3 * number + offset + 1))
        parts.append(b"committer t <t@t> 1000000000 +0000\ndata 1\nx\n")
        if offset:
            parts.append(b"from :%d\n" % (3 * number + 1))
        parts.append(b"deleteall\n")
        for path, (mode, body) in tree.items():
            parts.append(b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), _quoted(path), len(body), body))
    return b"".join(parts)


def _quoted(path: str) -> bytes:
    return b'"' + b"".join(b"\\%03o" % byte for byte in path.encode()) + b'"'


Drawn = tuple[tuple[str, bytes] | None, tuple[str, bytes] | None, tuple[str, bytes] | None]
"""One path before, on our side, on theirs."""

PLACES = ["", "a/", "a/b/", "ü ñ/", "-rf/", "new\nline/", "trailing /"]


def a_case(chance: random.Random) -> Case:
    """Several files, each changed in its own way, without edits that touch each other."""
    trees: tuple[dict[str, tuple[str, bytes]], ...] = ({"keep": (FILE, b"same")}, {}, {})
    trees[1]["keep"] = trees[2]["keep"] = trees[0]["keep"]
    for number in range(chance.randrange(2, 8)):
        path = f"{chance.choice(PLACES)}f{number}"
        drawn = chance.choice(KINDS)(chance)
        if chance.random() < 0.5:
            drawn = (drawn[0], drawn[2], drawn[1])
        for tree, file in zip(trees, drawn, strict=True):
            if file is not None:
                tree[path] = file
    return Case(*trees)


def some_lines(chance: random.Random, count: int, end: bytes) -> list[bytes]:
    """Lines that are mostly, but not all, unlike each other: there are empty ones and braces in every program."""
    return [
        chance.choice((b"", b"}", b"word %d" % chance.randrange(40))) + end
        if chance.random() < 0.3
        else b"line %d%s" % (chance.randrange(1_000_000), end)
        for _ in range(count)
    ]


def _edited(chance: random.Random, base: list[bytes], spots: list[int], end: bytes) -> bytes:
    out = list(base)
    for spot in sorted(spots, reverse=True):
        kind = chance.randrange(3)
        new = [b"new %d%s" % (chance.randrange(1_000_000), end) for _ in range(chance.randrange(1, 4))]
        if kind == 0:
            out[spot] = new[0]
        elif kind == 1:
            del out[spot]
        else:
            out[spot:spot] = new
    return b"".join(out)


def _lines(chance: random.Random) -> Drawn:
    """Both sides edit one text, with untouched lines between any two edits; perhaps one of them sets its mode."""
    end = chance.choice((b"\n", b"\n", b"\r\n"))
    base = some_lines(chance, chance.randrange(1, 60), end)
    spots = [at for at in range(0, len(base), 4) if chance.random() < 0.6]
    chance.shuffle(spots)
    cut = chance.randrange(len(spots) + 1)
    bodies = [b"".join(base), _edited(chance, base, spots[:cut], end), _edited(chance, base, spots[cut:], end)]
    if chance.random() < 0.3:
        bodies = [body.removesuffix(end) for body in bodies]
    modes = chance.choice([(FILE, FILE, FILE), (FILE, EXECUTABLE, FILE), (EXECUTABLE, EXECUTABLE, FILE)])
    before, ours, theirs = zip(modes, bodies, strict=True)
    return before, ours, theirs


def _text(chance: random.Random) -> bytes:
    return b"".join(some_lines(chance, chance.randrange(1, 12), b"\n"))


def _binary(chance: random.Random) -> bytes:
    return b"\0" + chance.randbytes(chance.randrange(200))


def _one_side(chance: random.Random) -> Drawn:
    """Whatever one side does where the other does nothing."""
    makes: list[Callable[[], tuple[str, bytes] | None]] = [
        lambda: (FILE, _text(chance)),
        lambda: (EXECUTABLE, _text(chance)),
        lambda: (FILE, _binary(chance)),
        lambda: (SYMLINK, b"to/%d" % chance.randrange(1_000)),
        lambda: None,
    ]
    before = chance.choice(makes)()
    return before, chance.choice(makes)(), before


def _both_alike(chance: random.Random) -> Drawn:
    """Both delete it, make it or change it alike."""
    before = chance.choice(((FILE, _text(chance)), None))
    after = chance.choice(((FILE, _text(chance)), (EXECUTABLE, _binary(chance)), (SYMLINK, b"x"), None))
    return before, after, after


KINDS = (_lines, _lines, _lines, _one_side, _both_alike)


FEW = ("a", "b", "a/x", "a/y", "a/x/q", "b/z", "c", "c/d/e")
"""Paths of which some are files where others need directories."""


def _whatever(chance: random.Random, path: str) -> tuple[str, bytes]:
    """A file whose content is unlike that of every other path, so that git sees no renames."""
    lines = [f"{path * 3} {number}\n" for number in range(12)]
    kind = chance.randrange(9)
    if kind in (0, 1):
        lines[8 * kind + 1] = "changed\n"
    if kind == 2:
        return SYMLINK, (path * 3).encode() + b"%d" % chance.randrange(2)
    if kind == 3:
        return FILE, b"\0" + path.encode() * 30 + b"%d" % chance.randrange(2)
    if kind == 4:
        return FILE, b""
    return EXECUTABLE if kind == 5 else FILE, "".join(lines).encode()


def _put(tree: dict[str, tuple[str, bytes]], path: str, file: tuple[str, bytes]) -> None:
    for other in list(tree):
        if path.startswith(other + "/") or other.startswith(path + "/"):
            del tree[other]
    tree[path] = file


def clashing_case(chance: random.Random) -> Case:
    """Anything at all done to the same few paths: files, links and directories in one another's place."""
    base: dict[str, tuple[str, bytes]] = {}
    for path in chance.sample(FEW, 5):
        _put(base, path, _whatever(chance, path))
    sides = []
    for _ in range(2):
        tree = {path: file for path, file in base.items() if chance.random() < 0.85}
        for path in chance.sample(FEW, chance.randrange(4)):
            _put(tree, path, _whatever(chance, path))
        sides.append(tree)
    return Case(base, *sides)

"""The format of trees, and reading them: a Merkle tree of directories.

Every directory is one blob: the canonical JSON of

    {"entries":[{"digest":D,"mode":M,"name":N,"size":S}, ...],"tree":1}

- `entries` are sorted by the UTF-8 bytes of `name` (which is the order of code points).
- `mode` is `100644`, `100755`, `120000` (a symlink, whose blob is its target) or `040000` (a directory, whose
  digest is that of its own blob; it has no `size`).
- `size` is the length of the file's blob in bytes.
- A directory without files does not exist, except the root, whose entries may be empty.
- Names are UTF-8 and nothing else: a name that is not is refused where it enters (a tree has to be the same
  value in a journal, in JSON output and on every machine). `.git` and `.tenuto` are never in a tree, in no case.

This is hashed for ever: another format gets another number in `tree`, and this one is read for ever.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.errors import DamagedStoreError
from tenuto.ports.artifacts import BlobStore

__all__ = [
    "DIRECTORY",
    "EMPTY_TREE",
    "EXECUTABLE",
    "FILE",
    "SYMLINK",
    "Directory",
    "Node",
    "TreeReader",
    "encode_directory",
    "parse_directory",
    "reserved",
]

FILE = "100644"
EXECUTABLE = "100755"
SYMLINK = "120000"
DIRECTORY = "040000"

_MODES = frozenset((FILE, EXECUTABLE, SYMLINK, DIRECTORY))
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_RESERVED = frozenset((".git", ".tenuto"))


class Node(NamedTuple):
    """What a name in a directory stands for. `size` is 0 for directories."""

    mode: str
    digest: Digest
    size: int


Directory = Mapping[str, Node]
"""A parsed directory: names in order."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    digest: Digest
    mode: str
    name: str
    size: int | None = None


class _Blob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entries: list[_Entry]
    tree: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Blob).decode


def reserved(name: str) -> bool:
    """Whether a name may not stand in any tree: git's and tenuto's own, in every case (some disks fold it)."""
    return name.lower() in _RESERVED


def encode_directory(entries: Mapping[str, Node]) -> bytes:
    """The canonical bytes of a directory. Fields are declared in alphabetical order, so the encoder sorts."""
    listed = [
        _Entry(digest=node.digest, mode=node.mode, name=name, size=None if node.mode == DIRECTORY else node.size)
        for name, node in sorted(entries.items())
    ]
    return _encode(_Blob(entries=listed, tree=1))


def parse_directory(data: bytes, tree: Digest) -> Directory:
    """Read a directory. DamagedStoreError for what `encode_directory` cannot have written: blobs may be foreign."""
    try:
        blob = _decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DamagedStoreError(f"the blob {tree} is not a directory of a tree ({error})") from error
    if blob.tree != 1:
        raise DamagedStoreError(f"the tree {tree} has the unknown format {blob.tree}")
    entries: dict[str, Node] = {}
    before = ""
    for entry in blob.entries:
        name = entry.name
        if name <= before or "/" in name or "\0" in name or name in (".", "..") or reserved(name):
            raise DamagedStoreError(f"the tree {tree} has an impossible or misplaced name {name!r}")
        if entry.mode not in _MODES or not _DIGEST.match(entry.digest):
            raise DamagedStoreError(f"the tree {tree} has an impossible entry for {name!r}")
        if (entry.size is None) != (entry.mode == DIRECTORY) or (entry.size or 0) < 0:
            raise DamagedStoreError(f"the tree {tree} has an impossible size for {name!r}")
        entries[name] = Node(entry.mode, entry.digest, entry.size or 0)
        before = name
    return MappingProxyType(entries)


EMPTY_TREE = digest(encode_directory({}))
"""The digest of the tree without files."""

_NOTHING: Directory = MappingProxyType({})


class TreeReader:
    """Reads directories of trees, and keeps the parsed ones: they are immutable, so the cache is never wrong."""

    def __init__(self, blobs: BlobStore, *, entries_max: int = 500_000, redactor: Redactor = NOTHING_SECRET) -> None:
        self.redactor = redactor
        """What new files of trees must not hold: whoever stores one looks (`secrecy.refuse_secrets`)."""
        self._blobs = blobs
        self._cache: OrderedDict[Digest, Directory] = OrderedDict()
        self._entries = 0
        self._entries_max = entries_max

    @property
    def blobs(self) -> BlobStore:
        return self._blobs

    async def directory(self, tree: Digest) -> Directory:
        """One directory. MissingArtifactError, DamagedStoreError."""
        cached = self._cache.get(tree)
        if cached is not None:
            self._cache.move_to_end(tree)
            return cached
        return (await self.directories((tree,)))[tree]

    async def directories(self, trees: Iterable[Digest]) -> Mapping[Digest, Directory]:
        """Many directories with one request to the store."""
        found: dict[Digest, Directory] = {}
        missing: list[Digest] = []
        for tree in dict.fromkeys(trees):
            cached = _NOTHING if tree == EMPTY_TREE else self._cache.get(tree)
            if cached is None:
                missing.append(tree)
            else:
                found[tree] = cached
        if missing:
            bodies = await self._blobs.get_many(missing)
            for tree in missing:
                found[tree] = parsed = parse_directory(bodies[tree], tree)
                self.remember(tree, parsed)
        return found

    async def bodies(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        """File bodies, as the store gives them."""
        return await self._blobs.get_many(digests)

    async def body(self, digest: Digest) -> bytes:
        return (await self._blobs.get_many((digest,)))[digest]

    async def find(self, tree: Digest, path: str) -> Node | None:
        """What stands at `path`: a file, a directory, or None. Files on the way count as nothing there."""
        node = Node(DIRECTORY, tree, 0)
        for name in path.split("/"):
            if node.mode != DIRECTORY:
                return None
            child = (await self.directory(node.digest)).get(name)
            if child is None:
                return None
            node = child
        return node

    def remember(self, tree: Digest, parsed: Directory) -> None:
        """Keep a parsed directory, dropping those not used for longest beyond the bound."""
        if tree in self._cache:
            return
        self._cache[tree] = parsed
        self._entries += len(parsed) + 1
        while self._entries > self._entries_max and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._entries -= len(dropped) + 1

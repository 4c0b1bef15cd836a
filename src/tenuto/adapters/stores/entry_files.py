"""Entries of artifacts as files, one for each version."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from tenuto.adapters.stores import entries
from tenuto.adapters.stores.durable_files import file_errors, make_folder, sync_folders, synced_temporary
from tenuto.core.artifacts import Artifact
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import DamagedStoreError, MissingArtifactError, NewerStoreError

__all__ = ["EntryFiles", "file_name"]

FORMAT = 1
NAME_BYTES_MAX = 200

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


class _EntryFile(msgspec.Struct, frozen=True, kw_only=True):
    artifact: msgspec.Raw
    check: Digest
    format: int


def file_name(name: str) -> str:
    """A name as one file name: percent-encoded, never hidden, never a way out; a long one ends in its hash.

    Different names have different file names: what is cut is followed by `%-`, which no encoding yields.
    """
    encoded = "".join(
        c if c in _PLAIN else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass")) for c in name
    )
    if encoded.startswith(".") or not encoded:
        encoded = f"%2E{encoded[1:]}" if encoded else "%"
    if len(encoded) > NAME_BYTES_MAX:
        hashed = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        encoded = f"{encoded[: NAME_BYTES_MAX - 66]}%-{hashed}"
    return encoded


class EntryFiles:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"
        self._trash = root / "trash"

    def check(self, entry: Artifact, expected_version: int) -> None:
        """Refuse early what `add` would refuse, before a blob is written for it."""
        with file_errors(self._root):
            if self._tombstone(entry.run).exists():
                raise entries.deleted_entries(entry.run)
            newest = self._newest(self._folder(entry.run, entry.name))
        if newest != expected_version:
            raise self._conflict(entry, expected_version, newest)

    def add(self, entry: Artifact) -> None:
        """Create the file of `entry.version`; the version before it must be there, and this one must not.

        Against a racing `delete`: the run's folder is made and held open first, then the tombstone is looked for.
        A tombstone laid later finds this folder, and moves it away with whatever is put into it.
        """
        with file_errors(self._root):
            folder = self._folder(entry.run, entry.name)
            try:
                make_folder(folder, self._root)
                held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise entries.deleted_entries(entry.run) from None
            try:
                if self._tombstone(entry.run).exists():
                    self._bury(entry.run)
                    raise entries.deleted_entries(entry.run)
                with synced_temporary(self._temporary, _encode(entry)) as temporary:
                    os.link(temporary, f"{entry.version}.json", dst_dir_fd=held)
                os.fsync(held)
            except FileExistsError:
                raise self._conflict(entry, entry.version - 1, self._newest(folder)) from None
            except FileNotFoundError:
                raise entries.deleted_entries(entry.run) from None
            finally:
                os.close(held)

    def read(self, run: RunId, name: str, version: int | None) -> Artifact:
        with file_errors(self._root):
            folder = self._folder(run, name)
            wanted = self._newest(folder) if version is None else version
            if wanted < 1 or self._tombstone(run).exists():
                raise entries.missing_entry(run, name, version)
            try:
                return _decode(folder / f"{wanted}.json")
            except FileNotFoundError:
                raise entries.missing_entry(run, name, version) from None

    def all_of(self, run: RunId) -> list[Artifact]:
        with file_errors(self._root):
            if self._tombstone(run).exists():
                return []
            try:
                found = [_decode(path) for path in self._folder(run).glob("*/*.json")]
            except FileNotFoundError:
                return []  # deleted while it was read
        return sorted(found, key=lambda entry: (entry.name, entry.version))

    def delete(self, run: RunId) -> None:
        """Lay the tombstone, which is the moment of deletion; the rest is tidying up, and may be repeated."""
        with file_errors(self._root):
            tombstone = self._tombstone(run)
            if not tombstone.exists():
                make_folder(tombstone.parent, self._root)
                with synced_temporary(self._temporary, run.encode("utf-8", "surrogatepass")) as temporary:
                    temporary.rename(tombstone)
                sync_folders([tombstone.parent])
            self._bury(run)

    def _bury(self, run: RunId) -> None:
        self._trash.mkdir(exist_ok=True)
        aside = self._trash / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            self._folder(run).rename(aside)
        except FileNotFoundError:
            return
        # A racing writer may still add to it; what is left behind then is invisible, and a sweep takes it.
        shutil.rmtree(aside, ignore_errors=True)

    def _folder(self, run: RunId, name: str | None = None) -> Path:
        folder = self._root / "entries" / file_name(run)
        return folder if name is None else folder / file_name(name)

    def _tombstone(self, run: RunId) -> Path:
        return self._root / "deleted" / file_name(run)

    def _newest(self, folder: Path) -> int:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return 0
        return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdecimal()), default=0)

    def _conflict(self, entry: Artifact, expected_version: int, newest: int) -> Exception:
        try:
            found = self.read(entry.run, entry.name, newest) if newest else None
        except MissingArtifactError:
            found = None
        return entries.conflict(entry, expected_version, found)


def _encode(entry: Artifact) -> bytes:
    data = msgspec.json.encode(entry)
    return msgspec.json.encode(_EntryFile(artifact=msgspec.Raw(data), check=digest(data), format=FORMAT)) + b"\n"


def _decode(path: Path) -> Artifact:
    data = path.read_bytes()
    try:
        file = msgspec.json.decode(data, type=_EntryFile)
        if file.format > FORMAT:
            raise NewerStoreError(
                f"the entry has format {file.format}, this tenuto knows {FORMAT}",
                where=str(path),
                fix="upgrade tenuto",
            )
        if digest(bytes(file.artifact)) == file.check:
            return msgspec.json.decode(file.artifact, type=Artifact)
    except ValueError:  # malformed, or no UTF-8
        pass
    raise DamagedStoreError(
        "the entry does not hold what was written", where=str(path), fix="restore the store from a backup"
    )

"""Snapshots as files beside a store, one for each run that has one.

A snapshot is large, replaced again and again, gone when its run has ended, and may be lost: in the store itself it
would be written twice (log and file), and the room it took would stay. A file that is no snapshot, or one of another
time, is as good as none: who reads it checks it against the journal.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tenuto.adapters.stores.entry_files import file_name
from tenuto.core.ids import Digest, RunId
from tenuto.ports.journal import StoredSnapshot

__all__ = ["SnapshotFiles"]

_FORMAT = b"tenuto snapshot 1"


class SnapshotFiles:
    """In `folder`, which is made when first needed. Nothing here fails: without a snapshot there is the journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run: RunId, snapshot: StoredSnapshot) -> None:
        """Keep it in place of an older one: whoever reads meanwhile gets the one or the other."""
        temporary = self._unfinished(run)
        header = b"%b %d %b\n" % (_FORMAT, snapshot.seq, snapshot.head.encode())
        with suppress(OSError):
            try:
                self._folder.mkdir(exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(header)
                    file.write(snapshot.body)
                temporary.replace(self._file(run))
            except OSError:
                temporary.unlink(missing_ok=True)

    def read(self, run: RunId) -> StoredSnapshot | None:
        try:
            with self._file(run).open("rb") as file:
                header = file.readline(200)
                body = file.read()
        except OSError:
            return None
        known, _, place = header.rpartition(_FORMAT)
        seq, _, head = place.strip().partition(b" ")
        if known or not place or not seq.isdigit() or not head.isalnum():
            return None
        return StoredSnapshot(int(seq), Digest(head.decode("ascii")), body)

    def drop(self, run: RunId) -> None:
        with suppress(OSError):
            self._unfinished(run).unlink(missing_ok=True)
            self._file(run).unlink(missing_ok=True)

    def _unfinished(self, run: RunId) -> Path:
        """No other run's name. Two writers at once make one that is no snapshot, as its digest shows."""
        return self._folder / f"{file_name(run)}%+"

    def _file(self, run: RunId) -> Path:
        return self._folder / file_name(run)

"""Snapshots are a cache in files: whatever happened to one, it is whole or as good as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.adapters.stores.snapshot_files import SnapshotFiles
from tenuto.core.canonical import digest
from tenuto.core.ids import RunId
from tenuto.ports.journal import StoredSnapshot

RUN = RunId("r")
SNAPSHOT = StoredSnapshot(7, digest(b"head"), b"\nstate\n")


@pytest.mark.parametrize("run", ["r", "../r", "", "r%+", "a/b", "x" * 300, "r\udcff"])
def test_each_run_has_its_own(tmp_path: Path, run: str) -> None:
    files = SnapshotFiles(tmp_path / "snapshots")
    assert files.read(RunId(run)) is None
    files.put(RunId(run), SNAPSHOT)
    files.put(RunId("another"), SNAPSHOT._replace(seq=8))
    assert files.read(RunId(run)) == SNAPSHOT
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "snapshots"] * 2
    files.drop(RunId(run))
    files.drop(RunId(run))
    assert files.read(RunId(run)) is None
    assert files.read(RunId("another")) is not None


def test_what_is_no_snapshot_is_none(tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path)
    files.put(RUN, SNAPSHOT)
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    head = SNAPSHOT.head.encode()
    for data in (
        b"",
        good[:20],
        b"x" + good,
        good.replace(b" 1 ", b" 2 "),
        good.replace(b" 7 ", b" -7 "),
        b"\xff" * 500,
    ):
        file.write_bytes(data)
        assert files.read(RUN) is None, data
    file.write_bytes(good.replace(head, b"\xff" * len(head)))
    assert files.read(RUN) is None
    file.write_bytes(good)
    assert files.read(RUN) == SNAPSHOT


def test_where_none_can_be_kept_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "nowhere" / "snapshots"):
        files = SnapshotFiles(folder)
        files.put(RUN, SNAPSHOT)
        assert files.read(RUN) is None
        files.drop(RUN)
    assert (tmp_path / "file").read_bytes() == b""

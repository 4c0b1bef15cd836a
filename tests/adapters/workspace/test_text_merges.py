"""Merges of texts, held to `git merge-file`, and differences of lines, held to their definition."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.workspace import lines
from tenuto.adapters.workspace.lines import changed_ranges, split_lines
from tenuto.adapters.workspace.texts import Region, Side, is_text, merge_texts

SHORT = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"{\n", b"}\n"]), max_size=14)


def undecided(_: Region) -> Side | None:
    return None


def rebuilt(old: Sequence[bytes], new: Sequence[bytes]) -> list[bytes]:
    out: list[bytes] = []
    at = new_at = 0
    for change in changed_ranges(old, new):
        assert old[at : change.start] == new[new_at : change.new_start]
        assert change.start > at or change.new_start > new_at or at == 0
        out += old[at : change.start] + new[change.new_start : change.new_end]  # type: ignore[operator]
        at, new_at = change.end, change.new_end
    return [*out, *old[at:]]


def longest_common(a: Sequence[bytes], b: Sequence[bytes]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        before = row[:]
        for j, y in enumerate(b):
            row[j + 1] = before[j] + 1 if x == y else max(before[j + 1], row[j])
    return row[-1]


@given(SHORT, SHORT)
def test_a_difference_rebuilds_the_new_text_and_is_the_shortest(old: list[bytes], new: list[bytes]) -> None:
    assert rebuilt(old, new) == new
    kept = len(old) - sum(change.end - change.start for change in changed_ranges(old, new))
    assert kept == longest_common(old, new)


@given(SHORT, SHORT)
def test_a_difference_beyond_the_cost_limit_still_rebuilds(old: list[bytes], new: list[bytes]) -> None:
    limit, lines._COST_MAX = lines._COST_MAX, 2
    try:
        assert rebuilt(old, new) == new
    finally:
        lines._COST_MAX = limit


def test_two_large_unlike_texts_are_compared_quickly() -> None:
    chance = random.Random(5)
    old = [b"%d\n" % chance.randrange(3_000) for _ in range(20_000)]
    new = [b"%d\n" % chance.randrange(3_000) for _ in range(20_000)]
    assert rebuilt(old, new) == new


def edited(chance: random.Random, base: list[bytes], spots: list[int], ending: bytes) -> list[bytes]:
    """Change, delete or add lines at places of the base that are given from the back."""
    out = list(base)
    for spot in sorted(spots, reverse=True):
        word = b"new%d%s" % (chance.randrange(1_000_000), ending)
        kind = chance.randrange(3)
        if kind == 0:
            out[spot] = word
        elif kind == 1:
            del out[spot]
        else:
            out.insert(spot, word)
    return out


def a_case(chance: random.Random) -> tuple[bytes, bytes, bytes]:
    ending = chance.choice([b"\n", b"\n", b"\r\n"])
    repeats = chance.choice([2, 4, 1_000_000])
    base = [b"line %d%s" % (chance.randrange(repeats), ending) for _ in range(chance.randrange(1, 40))]
    spots = [at for at in range(0, len(base), 4) if chance.random() < 0.7]  # three untouched lines between any two
    chance.shuffle(spots)
    cut = chance.randrange(len(spots) + 1)
    texts = [base, edited(chance, base, spots[:cut], ending), edited(chance, base, spots[cut:], ending)]
    bodies = [b"".join(text) for text in texts]
    if chance.random() < 0.3:
        bodies = [body.removesuffix(ending) for body in bodies]
    return bodies[0], bodies[1], bodies[2]


def git_merge(directory: Path, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    for name, body in (("base", base), ("ours", ours), ("theirs", theirs)):
        (directory / name).write_bytes(body)
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=directory, capture_output=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def compare_with_git(directory: Path, first: int, count: int) -> None:
    agreed = 0
    for seed in range(first, first + count):
        base, ours, theirs = a_case(random.Random(seed))
        merged, _ = merge_texts(base, ours, theirs, undecided)
        assert merged == git_merge(directory, base, ours, theirs), f"seed {seed}"
        agreed += merged is not None
    assert agreed > count * 3 // 4


def test_merges_of_edits_that_are_not_adjacent_equal_gits(tmp_path: Path) -> None:
    compare_with_git(tmp_path, 0, 200)


@pytest.mark.battery
def test_many_merges_equal_gits(tmp_path: Path) -> None:
    compare_with_git(tmp_path, 1_000, 1_000)


@given(SHORT, SHORT, SHORT)
def test_merging_is_symmetric(base: list[bytes], ours: list[bytes], theirs: list[bytes]) -> None:
    texts = [b"".join(text) for text in (base, ours, theirs)]
    one, conflicts = merge_texts(texts[0], texts[1], texts[2], undecided)
    other, others = merge_texts(texts[0], texts[2], texts[1], undecided)
    assert (one, conflicts) == (other, others)
    assert (one is None) == bool(conflicts)


@given(SHORT, SHORT, SHORT)
@settings(max_examples=50)
def test_taking_a_side_leaves_the_rest_merged(base: list[bytes], ours: list[bytes], theirs: list[bytes]) -> None:
    old, left, right = (b"".join(text) for text in (base, ours, theirs))
    merged, conflicts = merge_texts(old, left, right, lambda _: "ours")
    assert merged is not None
    if not conflicts:
        assert merged == merge_texts(old, left, right, undecided)[0]
    if old == right:
        assert merged == left


def test_a_conflict_takes_the_lines_of_the_side_that_is_named() -> None:
    base, ours, theirs = b"1\n2\n3\n4\n5\n6\n", b"1\nA\n3\n4\n5\nx\n", b"1\nB\n3\n4\n5\n6\n"
    wanted: dict[Side, bytes] = {"ours": b"A", "theirs": b"B", "base": b"2"}
    for side, text in wanted.items():
        merged, conflicts = merge_texts(base, ours, theirs, lambda _, side=side: side)  # type: ignore[misc]
        assert (merged, conflicts) == (b"1\n" + text + b"\n3\n4\n5\nx\n", [Region(1, 2)])


def test_a_missing_last_newline_is_a_change_of_that_line_only() -> None:
    assert merge_texts(b"a\nb\nc", b"A\nb\nc", b"a\nb\nc\n", undecided)[0] == b"A\nb\nc\n"
    assert merge_texts(b"a\r\nb\r\nc\r\n", b"A\r\nb\r\nc\r\n", b"a\r\nb\r\nC", undecided)[0] == b"A\r\nb\r\nC"
    assert split_lines(b"a\n\nb") == [b"a\n", b"\n", b"b"]
    assert split_lines(b"") == []


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", True), (b"a\xc3\xa4\n", True), (b"\xff", True), (b"a\0", False)]
)
def test_what_is_merged_by_lines(data: bytes, expected: bool) -> None:
    assert is_text(data) is expected
    assert is_text(b"x" * 8_000 + b"\0") is True

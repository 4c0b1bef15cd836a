"""Runs by name, and new names."""

from __future__ import annotations

from tenuto.app.finding import check_run_id, new_run_id


def test_new_ids_are_short_valid_and_differ() -> None:
    made = {new_run_id("Fix: the Issue / now") for _ in range(200)}
    assert len(made) == 200
    assert all(check_run_id(run) == run and run.startswith("r-fix-the-issue-now-") for run in made)
    assert new_run_id("日本").startswith("r-plan-")
    assert len(new_run_id("x" * 500)) < 50

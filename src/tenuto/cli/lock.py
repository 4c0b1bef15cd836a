"""`tenuto lock PLAN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_plans
from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say
from tenuto.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tenuto.app.locking import Move

__all__ = ["command", "move_lines"]


@click.command(
    "lock",
    short_help="Write down what a plan resolves to.",
    epilog=examples(
        "tenuto lock hello.plan.yaml", "tenuto lock hello.plan.yaml --check   # exit 1 where something moved"
    ),
)
@click.argument("plan", shell_complete=complete_plans)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; say what moved since it was written.")
@click.option("--repo", default=".", metavar="DIR", help="The repository (default: here).")
@click.option("--model", metavar="NAME", help="As for `tenuto run`.")
@shared_options(store=False)
def command(plan: str, only_check: bool, repo: str, model: str | None, as_json: bool) -> int:
    """Write what PLAN resolves to into a file beside it: models, prices, prompts, agents, tools and code, as hashes.

    `tenuto check` then says what has moved against it. With --check exit 1 where something has.
    """
    import asyncio

    from tenuto.app.checking import check_plan
    from tenuto.app.locking import lock_path, locked, moves, read_lock_file, write_lock_file

    path = Path(plan)
    checked = asyncio.run(check_plan(settings_for(repo, model=model), path, Path(repo)))
    lock, current = lock_path(path), locked(checked.ready, checked.spec)
    recorded = read_lock_file(lock) if only_check or lock.exists() else None
    if only_check and recorded is None:
        raise UsageError("there is no lock", where=str(lock), fix=f"write it: `tenuto lock {plan}`")
    moved = [] if recorded is None else moves(recorded, current, checked.ready)
    if not only_check:
        write_lock_file(lock, current)
    if as_json:
        print_json({"lock": str(lock), "written": not only_check, "moved": moved})
    else:
        for line in move_lines(moved):
            say(line)
        say(f"{'same' if only_check and not moved else 'moved' if only_check else 'wrote'}  {lock}")
    return int(ExitCode.FAILED if only_check and moved else ExitCode.OK)


def move_lines(moved: list[Move]) -> list[str]:
    """A line for each thing that is not as it was locked."""
    return [f"{f'{move.where}: ' if move.where else ''}{move.part} {_how(move)}" for move in moved]


def _how(move: Move) -> str:
    if move.what == "new":
        return "is new"
    if move.what == "gone":
        return "is gone"
    old, new = move.recorded, move.current
    if isinstance(old, dict) and isinstance(new, dict):
        names = [name for name in new | old if old.get(name) != new.get(name)]
        plain = [name for name in names if name not in ("digest", "version")] or names
        return "changed: " + ", ".join(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}" for name in plain)
    return f"changed: {_short(old)} -> {_short(new)}"


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text

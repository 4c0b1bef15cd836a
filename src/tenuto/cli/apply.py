"""`tenuto apply RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say
from tenuto.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.results import AppliedRun
    from tenuto.ports.workspace import FileChange

__all__ = ["command"]

SHOWN_MAX = 40


@click.command(
    "apply",
    short_help="Bring a run's result into the repository.",
    epilog=examples("tenuto apply @last", "tenuto apply @last --branch try", "tenuto apply @last --merge"),
)
@click.argument("run", shell_complete=complete_runs)
@click.option("--branch", metavar="NAME", help="Make this git branch instead; the files stay as they are.")
@click.option("--to", metavar="DIR", help="Another directory than the run's repository.")
@click.option("--merge", is_flag=True, help="Merge with what others changed since the run started.")
@shared_options()
def command(run: str, branch: str | None, to: str | None, merge: bool, store: str | None, as_json: bool) -> int:
    """Bring the files of RUN into its repository. Replaced files are kept in the store.

    Where others changed files meanwhile, it only shows what a merge would do (exit 1), until --merge is given.
    """
    settings = settings_for(store=store)
    if to is not None and not to:
        raise UsageError("--to needs a directory")

    async def work(opened: Store) -> AppliedRun:
        from tenuto.app.results import apply_run

        return await apply_run(settings, opened, run, to=None if to is None else Path(to), branch=branch, merge=merge)

    done = with_store(store, work)
    if as_json:
        print_json(_object(done))
    else:
        for line in _lines(done):
            say(line)
    return int(ExitCode.OK if done.whole else ExitCode.FAILED)


def _object(applied: AppliedRun) -> dict[str, Any]:
    done = applied.done
    return {
        "run": applied.run,
        "status": done.status,
        "directory": str(applied.directory),
        "branch": applied.branch,
        "commit": getattr(done, "commit", None),
        "tree_digest": done.tree,
        "changes": [{"path": c.path, "change": _kind(c)} for c in done.changes],
        "foreign": [{"path": c.path, "change": _kind(c)} for c in done.foreign],
        "conflicts": [{"path": c.path, "reason": c.reason} for c in done.conflicts],
        "left": list(applied.left),
        "displaced": None if applied.displaced is None else str(applied.displaced),
        "resumed": applied.resumed,
        "head_moved": done.head_moved,
    }


def _kind(change: FileChange) -> str:
    if change.before is None:
        return "added"
    return "deleted" if change.after is None else "changed"


def _lines(applied: AppliedRun) -> list[str]:
    done = applied.done
    target = f"branch {applied.branch}" if applied.branch else str(applied.directory)
    match done.status:
        case "applied":
            again = " (an interrupted apply was finished)" if applied.resumed else ""
            lines = [f"applied: {applied.run} to {target}, {counted(len(done.changes), 'file')}{again}"]
            commit = getattr(done, "commit", None)
            lines += [f"  commit {commit}"] if commit else []
        case "unchanged":
            return [f"unchanged: {target} holds the result of {applied.run} already"]
        case "conflict":
            lines = [f"conflict: {target} and the result of {applied.run} change the same lines; nothing was done"]
            lines += [f"  {conflict.path}: {conflict.reason}" for conflict in done.conflicts[:SHOWN_MAX]]
            if applied.branch:
                return [*lines, "  the branch's own history changed the same lines: commit or rebase first"]
            return [*lines, f"  commit or stash your changes, or: tenuto apply {applied.run} --branch NAME"]
        case _:
            lines = [f"{counted(len(done.foreign), 'file')} changed meanwhile; nothing was done. A merge would do:"]
    lines += [f"  {_kind(change):<8} {change.path}" for change in done.changes[:SHOWN_MAX]]
    if len(done.changes) > SHOWN_MAX:
        lines.append(f"  ... and {len(done.changes) - SHOWN_MAX} more")
    if applied.displaced is not None:
        lines.append(f"  what was replaced or deleted is kept in {applied.displaced}")
    if done.status == "preview":
        to_branch = f" --branch {applied.branch}" if applied.branch else ""
        lines.append(f"  tenuto apply {applied.run}{to_branch} --merge")
    for path in applied.left:
        lines.append(f"left alone, because it changed meanwhile or is in the way: {path}")
    return lines

"""`tenuto demo`: a run that is killed, resumed, replayed without network, and applied."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tenuto.cli.options import examples, shared_options
from tenuto.cli.output import print_json, say
from tenuto.errors import ExitCode, TenutoError, UsageError

if TYPE_CHECKING:
    from tenuto.cli.demo_acts import Stage

__all__ = ["command"]

PAGE_LINES = 14


@click.command(
    "demo",
    short_help="See it work.",
    epilog=examples("tenuto demo", "tenuto demo --local --repo ."),
)
@click.option("--local", is_flag=True, help="Use the small model of tenuto[local] instead of the mock.")
@click.option(
    "--repo", default=".", metavar="DIR", help="The repository to work on, which is copied (default: here)."
)
@click.option("--keep", metavar="DIR", help="Where to put the copy (default: a temporary directory).")
@shared_options(store=False)
def command(local: bool, repo: str, keep: str | None, as_json: bool) -> int:
    """Let a team of agents index a copy of a repository; kill it half-way, resume it, replay it, apply the result.

    Exit 0 only if everything held: nothing recorded was executed again, and the replay gave the same bytes.
    """
    from tenuto.app.finding import new_run_id
    from tenuto.cli import demo_acts as acts

    begun = time.monotonic()
    home = _home(keep)

    def tell(act: str, text: str) -> None:
        if not as_json:
            say(f"{time.monotonic() - begun:6.1f} s  {act:<9} {text}")

    stage = acts.Stage(
        clone=home / (Path(os.path.abspath(repo)).name or "repository"),
        model="local:" if local else acts.MOCK,
        run=new_run_id("demo"),
        tell=tell,
    )
    is_clone = acts.copy_repository(Path(repo), stage.clone)
    tell("cloned" if is_clone else "copied", f"{os.path.abspath(repo)} to {stage.clone}")
    tell("started", f"{stage.run} with the model {stage.model}" + (": this takes a minute or two" if local else ""))
    acts.run_and_kill(stage)
    report = acts.resume(stage)
    _tell_resumed(stage, report)
    replayed, denied = acts.replay_offline(stage)
    _check_replay(stage, report, replayed)
    how = f"without network ({denied})" if denied else "but the network could NOT be denied here (no unshare)"
    tell("replayed", f"identical: {replayed['events']} records, journal {replayed['journal_digest'][:16]}, {how}")
    applied = acts.apply(stage, is_clone=is_clone)
    tell("applied", f"{len(applied['changes'])} file to {_target(applied)}")
    page = str((report.get("outputs") or {}).get("page", ""))
    if as_json:
        print_json(_object(stage, report, replayed, applied, page, denied))
        return int(ExitCode.OK)
    say()
    say(f"{page} begins:")
    for line in acts.first_lines(stage, page, applied["branch"], PAGE_LINES):
        say(f"  {line}")
    say()
    say("next")
    for line in _next(stage, applied, page):
        say(f"  {line}")
    return int(ExitCode.OK)


def _home(keep: str | None) -> Path:
    """The directory in which the copy is made. UsageError where it cannot be."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tenuto-demo-"))
    home = Path(os.path.abspath(keep))
    try:
        home.mkdir(parents=True, exist_ok=True)
        taken = any(home.iterdir())
    except OSError as error:
        raise UsageError(f"cannot be used ({error.strerror})", where=f"--keep {keep}") from None
    if taken:
        raise UsageError("this directory is not empty", where=f"--keep {keep}", fix="name a new one")
    return home


def _tell_resumed(stage: Stage, report: dict[str, Any]) -> None:
    from tenuto.cli.amounts import shown_spending

    made = len(stage.replies) - stage.killed_after
    stage.tell("resumed", f"{report['status']}: {stage.killed_after} replies from the record, {made} made now")
    lost = report["budget"]["in_doubt"]
    tokens = sum(hold.get("tokens", 0) for hold in lost)
    text = f"{len(lost)} calls in flight; their holds ({tokens:,} tokens) count as spent" if lost else "nothing"
    stage.tell("lost", text)
    stage.tell("spent", shown_spending(report["budget"]["spent"]))


def _check_replay(stage: Stage, report: dict[str, Any], replayed: dict[str, Any]) -> None:
    if not replayed["identical"]:
        raise TenutoError(f"the replay differs: {replayed['divergence']}", where=f"run {stage.run}")
    if replayed["unchecked"]:
        raise TenutoError(f"steps were not checked: {replayed['unchecked']}", where=f"run {stage.run}")
    if replayed["journal_digest"] != report["journal_digest"]:
        raise TenutoError("the replay has another journal digest than the run", where=f"run {stage.run}")


def _target(applied: dict[str, Any]) -> str:
    return f"branch {applied['branch']}" if applied["branch"] else str(applied["directory"])


def _object(
    stage: Stage,
    report: dict[str, Any],
    replayed: dict[str, Any],
    applied: dict[str, Any],
    page: str,
    denied: str,
) -> dict[str, Any]:
    return {
        "run": stage.run,
        "directory": str(stage.clone),
        "replies_before_kill": stage.killed_after,
        "replies": len(stage.replies),
        "in_doubt": report["budget"]["in_doubt"],
        "identical": replayed["identical"],
        "journal_digest": replayed["journal_digest"],
        "network_denied": denied,
        "branch": applied["branch"],
        "page": page,
    }


def _next(stage: Stage, applied: dict[str, Any], page: str) -> list[str]:
    lines = [f"cd {shlex.quote(str(stage.clone))}"]
    if applied["branch"]:
        lines.append(f"git show {applied['branch']}:{page}")
    return [*lines, f"tenuto show {stage.run}", f"tenuto artifacts {stage.run}", f"tenuto events {stage.run}"]

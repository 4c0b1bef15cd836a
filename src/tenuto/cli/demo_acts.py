"""The acts of the demo: copy a repository, run a team over it, kill it, resume, replay without network, apply.

Every act is a `tenuto` command in a process of its own, as a user would give it; this module only watches.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from tenuto.app.build import open_store
from tenuto.app.config import read_settings
from tenuto.core.events.call import ModelCallRequested, ModelReplied
from tenuto.core.events.step import StepExpanded
from tenuto.core.ids import RunId
from tenuto.core.records import decode
from tenuto.errors import TenutoError, UsageError

__all__ = ["Stage", "apply", "copy_repository", "plan_path", "replay_offline", "resume", "run_and_kill"]

POLL_S = 0.005
GIVE_UP_S = 600
STARTING_S = 60
MOCK = "mock:?latency_ms=20..80"
"""Slow enough that calls are in flight when the engine is killed."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where the demo plays. `tell` gets a line for each act, with the seconds since the beginning."""

    clone: Path
    model: str
    run: RunId
    tell: Callable[[str, str], None]
    killed_after: int = 0
    in_flight: int = 0
    expected: int = 0
    replies: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.clone.parent / "demo.log"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tenuto", *arguments, "--store", str(self.clone / ".tenuto"), "--json"]


def plan_path() -> Path:
    """The demo's plan file, as it is installed."""
    return Path(str(files("tenuto.demo") / "plan" / "demo.plan.yaml"))


def copy_repository(repository: Path, clone: Path) -> bool:
    """A working clone of a git repository that has commits, else a plain copy; whether it is a clone."""
    if not repository.is_dir():
        raise UsageError("the repository is not there", where=str(repository), fix="name a directory by --repo")
    if _git(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}") is not None:
        top = _git(repository, "rev-parse", "--show-toplevel")
        done = None if top is None else _git(clone.parent, "clone", "--quiet", "--no-hardlinks", top, str(clone))
        if done is not None:
            return True
        shutil.rmtree(clone, ignore_errors=True)
    try:
        shutil.copytree(repository, clone, symlinks=True, ignore=shutil.ignore_patterns(".tenuto", ".git", ".venv"))
    except (OSError, shutil.Error) as error:
        what = " ".join(str(error).split())[:200]
        raise UsageError(f"the repository cannot be copied: {what}", where=str(repository)) from None
    return False


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints, or None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=directory, capture_output=True, check=False, timeout=GIVE_UP_S, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def run_and_kill(stage: Stage) -> None:
    """Start the run in a process of its own, and kill it when about a third of the replies are on record."""
    command = stage.command(
        "run", str(plan_path()), "--repo", str(stage.clone), "--run", stage.run, "--model", stage.model
    )
    with stage.log.open("wb") as log, subprocess.Popen(command, cwd=stage.clone, stdout=log, stderr=log) as child:
        try:
            killed = asyncio.run(_watch(stage, child))
        except BaseException:
            child.kill()
            raise
        child.wait()
    if not killed and child.returncode != 0:
        raise _failed(stage, _cause(stage) or "the run failed before it could be killed", child.returncode)
    if not killed:
        raise _failed(stage, "the run ended before it could be killed: there is too little in this repository", None)
    stage.tell(
        "killed",
        f"{stage.run} by SIGKILL, with {stage.killed_after} of about {stage.expected} model replies on record "
        f"and {stage.in_flight} calls in flight",
    )


async def _watch(stage: Stage, child: subprocess.Popen[bytes]) -> bool:
    """Read the journal while another process writes it; True when the writer was killed."""
    store = open_store(read_settings(stage.clone, {"store": str(stage.clone / ".tenuto")}), create=True)
    asked: set[str] = set()
    after = -1
    begun = time.monotonic()
    try:
        while child.poll() is None:
            try:
                async for row in store.journal.read(stage.run, after=after):
                    after = row.seq
                    event = decode(row.body).event
                    if isinstance(event, StepExpanded):
                        stage.expected += len(event.keys)
                    elif isinstance(event, ModelCallRequested):
                        asked.add(event.call)
                    elif isinstance(event, ModelReplied):
                        stage.replies[event.call] = stage.replies.get(event.call, 0) + 1
            except UsageError:
                """The run is not there yet."""
            if len(stage.replies) >= max(1, stage.expected // 3):
                child.send_signal(signal.SIGKILL)
                child.wait()
                stage.killed_after = len(stage.replies)
                stage.in_flight = len(asked) - stage.killed_after
                return True
            if time.monotonic() - begun > (GIVE_UP_S if after >= 0 else STARTING_S):
                raise _failed(stage, "the run does not get on", None)
            await asyncio.sleep(POLL_S)
        return False
    finally:
        await store.close()


def resume(stage: Stage) -> dict[str, Any]:
    """Continue the run to its end; its report."""
    found = _call(stage, stage.command("resume", stage.run))
    if found.get("status") != "ok":
        raise _failed(stage, f"the run ended as {found.get('status')}: {found.get('error')}", None)
    again = asyncio.run(_asked_again(stage))
    if again:
        raise _failed(stage, f"{len(again)} calls that were on record were made again: {', '.join(again[:3])}", None)
    return found


async def _asked_again(stage: Stage) -> list[str]:
    """Calls that have more than one reply: there must be none."""
    store = open_store(read_settings(stage.clone, {"store": str(stage.clone / ".tenuto")}))
    counts: dict[str, int] = {}
    try:
        async for row in store.journal.read(stage.run):
            event = decode(row.body).event
            if isinstance(event, ModelReplied):
                counts[event.call] = counts.get(event.call, 0) + 1
    finally:
        await store.close()
    stage.replies = counts
    return sorted(call for call, count in counts.items() if count > 1)


def replay_offline(stage: Stage) -> tuple[dict[str, Any], str]:
    """Replay in a process without network where the machine allows it; the report, and how it was denied."""
    denied = next((c for c in (("unshare", "-rn"), ("unshare", "-n")) if _works([*c, "true"])), ())
    found = _call(stage, [*denied, *stage.command("replay", stage.run)])
    return found, " ".join(denied)


def apply(stage: Stage, *, is_clone: bool) -> dict[str, Any]:
    """Bring the result onto a new branch of the clone; into the copy where there is no git."""
    branch = ["--branch", f"tenuto/{stage.run}"] if is_clone else []
    return _call(stage, stage.command("apply", stage.run, *branch))


def first_lines(stage: Stage, page: str, branch: str | None, count: int) -> list[str]:
    """The beginning of the page that the run wrote."""
    if branch is not None:
        text = _git(stage.clone, "show", f"{branch}:{page}") or ""
    else:
        text = (stage.clone / page).read_text("utf-8", "replace")
    return text.splitlines()[:count]


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _call(stage: Stage, command: Sequence[str]) -> dict[str, Any]:
    """Run a command that prints one JSON object."""
    with stage.log.open("ab") as log:
        done = subprocess.run(
            command, cwd=stage.clone, stdout=subprocess.PIPE, stderr=log, check=False, timeout=GIVE_UP_S
        )
        log.write(done.stdout)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {}
    if not isinstance(found, dict) or not found or ("error" in found and isinstance(found["error"], dict)):
        error = found.get("error", {}) if isinstance(found, dict) else {}
        what = error.get("what") or "it said nothing"
        raise _failed(stage, f"`tenuto {command[command.index('tenuto') + 1]}` failed: {what}", done.returncode)
    return found


def _failed(stage: Stage, what: str, code: int | None) -> TenutoError:
    ended = "" if code is None else f" (exit {code})"
    return TenutoError(f"{what}{ended}", fix=f"its output is in {stage.log.absolute()}")


def _cause(stage: Stage) -> str:
    """Why the run failed, in its own words: what its report says, or the error it ended with."""
    for line in reversed(stage.log.read_text("utf-8", "replace").splitlines()):
        try:
            error = json.loads(line).get("error")
        except (ValueError, AttributeError):
            continue
        if error:
            return str(error["what"] if isinstance(error, dict) else error)
    return ""

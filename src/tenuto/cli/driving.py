"""Driving a run from the command line: signals, what is shown meanwhile, what is said at the end."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tenuto.app.build import Store, open_store
from tenuto.app.config import Settings, read_settings
from tenuto.app.driving import Drive, Stopper
from tenuto.cli.output import print_json, say, tell
from tenuto.cli.progress import make_progress
from tenuto.core.ids import RunId
from tenuto.core.report import exit_code, report
from tenuto.errors import ExitCode, TenutoError

if TYPE_CHECKING:
    from tenuto.core.state import ExecutionState

__all__ = ["drive_command", "store_flag"]

Work = Callable[[Store, Drive], Awaitable["ExecutionState"]]


def drive_command(settings: Settings, work: Work, *, as_json: bool, create: bool = False) -> int:
    """Open the store, do the work with progress on stderr, report; the exit code.

    SIGINT, SIGTERM and SIGHUP stop the engine after the commit that is under way and leave the run resumable; a
    second one ends the process at once, which is as safe.
    """
    named: list[RunId] = []
    stopper = Stopper()
    flag = store_flag(settings)
    with make_progress(sys.stderr, settings.variables, quiet=as_json) as progress:

        def name(run: RunId) -> None:
            named.append(run)
            if not as_json:
                _say_at_once(f"run {run}")

        drive = Drive(listen=progress.hear, named=name, stopper=stopper, rests=progress.rests, watch=progress.watch)
        state = asyncio.run(_guarded(settings, work, drive, create=create))
    if state is None:
        return _interrupted(None, as_json=as_json, flag=flag)
    if stopper.stopped and state.status in ("running", "cancelling"):
        return _interrupted(state, as_json=as_json, flag=flag)
    if as_json:
        print_json(report(state))
    else:
        from tenuto.cli.closing import closing_lines

        for line in closing_lines(state, flag):
            say(line)
    return int(exit_code(state))


def _say_at_once(line: str) -> None:
    try:
        say(line)
        sys.stdout.flush()
    except OSError:
        """The run goes on; that stdout cannot be written is found again, and said, at the end."""


async def _guarded(settings: Settings, work: Work, drive: Drive, *, create: bool) -> ExecutionState | None:
    """The work under signals; None where it was stopped before anything was recorded."""
    loop = asyncio.get_running_loop()
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            os._exit(int(ExitCode.INTERRUPTED))
        drive.stopper.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores one of them, and means it
            loop.add_signal_handler(number, stop)
    store = open_store(settings, create=create)
    try:
        return await work(store, drive)
    except asyncio.CancelledError:
        if drive.stopper.stopped:
            return None
        raise
    finally:
        await store.close()


def _interrupted(state: ExecutionState | None, *, as_json: bool, flag: str) -> int:
    code = ExitCode.INTERRUPTED
    if as_json and state is not None:
        print_json({**report(state), "exit": int(code)})
    elif as_json:
        error = TenutoError("interrupted before anything was recorded", fix="start it again")
        print_json({"error": {"code": "interrupted", "what": error.what, "where": "", "fix": error.fix}})
    elif state is None:
        tell("tenuto: interrupted before anything was recorded; start it again")
    else:
        tell("tenuto: interrupted; nothing that was recorded is lost")
        tell(f"  tenuto resume {state.run}{flag}")
    return int(code)


def store_flag(settings: Settings) -> str:
    """` --store DIR` where a command without it would look elsewhere, else nothing."""
    usual = read_settings(Path(), {}, settings.variables).store
    if usual == settings.store:
        return ""
    near = os.path.relpath(settings.store)
    return f" --store {shlex.quote(str(settings.store) if near.startswith('..') else near)}"

"""`tenuto logs RUN`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_runs, complete_steps
from tenuto.cli.loading import tell_idle
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.happenings import Happening

__all__ = ["command"]


@click.command(
    "logs",
    short_help="Tell what happened in a run.",
    epilog=examples("tenuto logs @last", "tenuto logs -f @last", "tenuto logs @last --step 'review[0]'"),
)
@click.argument("run", default="@last", shell_complete=complete_runs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended, whoever drives it.")
@click.option("--step", metavar="PATH", help="Only this step and those below it.", shell_complete=complete_steps)
@shared_options()
def command(run: str, follow: bool, step: str | None, store: str | None, as_json: bool) -> None:
    """Tell what happened in RUN (default: the newest), a line for each record: when, where, what, and what it took.

    Times are UTC. With --json a JSON object a line.
    """

    async def work(opened: Store) -> None:
        from tenuto.app.driving import read_start
        from tenuto.app.finding import resolve_run
        from tenuto.app.following import read_records
        from tenuto.app.happenings import below, happening
        from tenuto.app.timeline import Timeline

        found = await resolve_run(opened.journal, run)
        _, spec = await read_start(opened, found)
        timeline = Timeline(spec)
        show = print_json_line if as_json else _printer(store)
        known = step is None
        async for read in read_records(opened, found, follow=follow, idle=tell_idle(found, store)):
            timeline.hear(read.record)
            line = happening(read.record, timeline)
            if step is None or below(line.step, step):
                known = True
                show(line)
                if follow:
                    sys.stdout.flush()
        if not known:
            _refuse_unknown(str(step), list(timeline.steps))

    with_store(store, work)


def _refuse_unknown(step: str, known: list[str]) -> None:
    from tenuto.core.problems import did_you_mean, shorten
    from tenuto.errors import UsageError

    raise UsageError(f"nothing happened in a step {shorten(step)}", fix=did_you_mean(step, known))


def print_json_line(line: Happening) -> None:
    """One line as programs read it."""
    import msgspec

    print_json(msgspec.to_builtins(line))


def _printer(store: str | None) -> Callable[[Happening], None]:
    from tenuto.cli.log_lines import LogLines
    from tenuto.cli.screen import screen_of

    screen = screen_of(settings_for(store=store).variables)
    lines = LogLines(screen.width)
    return lambda line: screen.show(lines.lines(line))

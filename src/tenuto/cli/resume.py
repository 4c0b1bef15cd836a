"""`tenuto resume RUN`."""

from __future__ import annotations

from typing import Any

import click

from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options

__all__ = ["command"]

NAMES = "usd, tokens, input_tokens, output_tokens, model_calls, tool_calls, iterations, time"


@click.command(
    "resume",
    short_help="Continue a run.",
    epilog=examples("tenuto resume @last", "tenuto resume @last --add-budget tokens=50000 --add-budget time=10m"),
)
@click.argument("run", shell_complete=complete_runs)
@click.option("--add-budget", multiple=True, metavar="NAME=AMOUNT", help=f"More of what the plan limits: {NAMES}.")
@click.option("--max-parallel", type=click.IntRange(1, 10_000), metavar="N", help="At most N calls at once.")
@shared_options()
def command(run: str, add_budget: tuple[str, ...], max_parallel: int | None, store: str | None, as_json: bool) -> int:
    """Continue RUN where its record ends. What was recorded is never executed again."""
    from tenuto.app.amounts import read_amounts
    from tenuto.app.driving import resume_run
    from tenuto.cli.driving import drive_command

    settings = settings_for(store=store)
    amount, time_ms = read_amounts(add_budget)

    async def work(opened: Any, drive: Any) -> Any:
        return await resume_run(
            settings, opened, run, drive, add_budget=amount, add_time_ms=time_ms, max_parallel=max_parallel
        )

    return drive_command(settings, work, as_json=as_json)

"""`tenuto check PLAN`."""

from __future__ import annotations

from pathlib import Path

import click

from tenuto.cli.completing import complete_plans
from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say, tell

__all__ = ["command"]


@click.command(
    "check",
    short_help="Check a plan and all it names.",
    epilog=examples("tenuto check hello.plan.yaml", "tenuto check hello.plan.yaml --model local: --json"),
)
@click.argument("plan", shell_complete=complete_plans)
@click.option("--repo", default=".", metavar="DIR", help="The repository (default: here).")
@click.option("--model", metavar="NAME", help="As for `tenuto run`.")
@click.option("--strict", is_flag=True, help="What programs reach without ctx is a problem, not a warning.")
@shared_options(store=False)
def command(plan: str, repo: str, model: str | None, strict: bool, as_json: bool) -> None:
    """Check PLAN without running it: its keys, its steps, and the agents, tools, programs and models it names.

    Says what it could spend at most, and what moved against its lock where it has one (`tenuto lock`).

    Warns of each place where a Python step reads a clock, files, the network and the like without `ctx`.

    Exit 2 with every problem found and its place.
    """
    import asyncio

    from tenuto.app.checking import check_plan

    settings = settings_for(repo, model=model)
    found = asyncio.run(check_plan(settings, Path(plan), Path(repo), strict=strict))
    for warning in found.warnings:
        tell(f"warning: {warning}")
    if as_json:
        print_json(found.object())
        return
    from tenuto.cli.forecast_table import forecast_lines
    from tenuto.cli.lock import move_lines
    from tenuto.cli.screen import screen_of

    for line in found.lines():
        say(line)
    screen = screen_of(settings.variables)
    screen.show(forecast_lines(found.forecast, screen.width))
    moved = found.moved
    if moved:
        say(f"not as in {found.lock}:")
        for line in move_lines(moved):
            say(f"  {line}")
        say(f"  tenuto lock {plan}   # to take that over")
    say(f"  {found.command}")

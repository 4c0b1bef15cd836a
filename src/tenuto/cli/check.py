"""`tenuto check PLAN`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from tenuto.cli.completing import complete_plans
from tenuto.cli.options import settings_for, shared_options
from tenuto.cli.output import print_json, say

__all__ = ["command"]


@click.command("check", short_help="Check a plan and all it names.")
@click.argument("plan", shell_complete=complete_plans)
@click.option("--repo", default=".", metavar="DIR", help="The repository (default: here).")
@click.option("--model", metavar="NAME", help="As for `tenuto run`.")
@shared_options(store=False)
def command(plan: str, repo: str, model: str | None, as_json: bool) -> None:
    """Check PLAN without running it: its keys, its steps, and the agents, tools, programs and models it names.

    Exit 2 with every problem found and its place.
    """
    from tenuto.app.checking import check_plan

    found = asyncio.run(check_plan(settings_for(repo, model=model), Path(plan), Path(repo)))
    if as_json:
        print_json(found.object())
        return
    for line in found.lines():
        say(line)

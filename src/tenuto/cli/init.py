"""`tenuto init [DIR]`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from tenuto.cli.options import shared_options
from tenuto.cli.output import print_json, say

__all__ = ["command"]


@click.command("init", short_help="Write a first plan with its agents.")
@click.argument("directory", default=".")
@shared_options(store=False)
def command(directory: str, as_json: bool) -> None:
    """Write a small plan, its agents and prompts into DIRECTORY (default: here). Files that exist are left alone."""
    from tenuto.app.starting import write_first_plan

    written, kept = write_first_plan(Path(directory))
    if as_json:
        print_json({"directory": os.path.abspath(directory), "written": written, "kept": kept})
        return
    for name in written:
        say(f"wrote  {name}")
    for name in kept:
        say(f"kept   {name}, which was there")
    plan = next(name for name in (*written, *kept) if name.endswith(".plan.yaml"))
    if Path(directory) != Path():
        say(f"  cd {shlex.quote(directory)}")
    say(f"  tenuto check {plan}")
    say(f"  tenuto run {plan}")

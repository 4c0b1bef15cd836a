"""`tenuto init [DIR]`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from tenuto.cli.completing import complete_words
from tenuto.cli.options import examples, shared_options
from tenuto.cli.output import print_json, say

__all__ = ["command"]


def _templates() -> list[str]:
    from tenuto.app.starting import TEMPLATES

    return list(TEMPLATES)


@click.command(
    "init",
    short_help="Write a first plan with its agents.",
    epilog=examples("tenuto init first", "tenuto init first --template program", "tenuto init --list"),
)
@click.argument("directory", default=".")
@click.option(
    "--template",
    metavar="NAME",
    default="team",
    shell_complete=complete_words(_templates),
    help="Another first plan.",
)
@click.option("--list", "only_list", is_flag=True, help="List the templates and write nothing.")
@shared_options(store=False)
def command(directory: str, template: str, only_list: bool, as_json: bool) -> None:
    """Write a small plan that runs at once, what it needs, and a test of it into DIRECTORY (default: here).

    Files that exist are left alone.
    """
    from tenuto.app.starting import TEMPLATES, write_first_plan

    if only_list:
        if as_json:
            print_json({"templates": TEMPLATES})
        for name, about in () if as_json else TEMPLATES.items():
            say(f"{name:<9} {about}")
        return
    written, kept = write_first_plan(Path(directory), template)
    if as_json:
        shown = os.path.abspath(directory)
        print_json({"directory": shown, "template": template, "written": written, "kept": kept})
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
    say("  python -m pytest tests   # after: pip install pytest")

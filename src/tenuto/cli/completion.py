"""`tenuto completion bash|zsh|fish`."""

from __future__ import annotations

import click

from tenuto.app.shells import INSTALL
from tenuto.cli.completing import SHELLS, complete_words, script_of
from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json
from tenuto.errors import UsageError

__all__ = ["command"]


@click.command(
    "completion",
    short_help="Print what makes a shell complete tenuto's commands.",
    epilog=examples(*INSTALL.values()),
)
@click.argument("shell", required=False, metavar="[bash|zsh|fish]", shell_complete=complete_words(lambda: SHELLS))
@shared_options(store=False)
def command(shell: str | None, as_json: bool) -> None:
    """Print the script that makes a shell (default: yours) complete verbs, flags, runs, steps and plans."""
    chosen = shell or _own_shell()
    if chosen not in SHELLS:
        from tenuto.core.problems import did_you_mean, shorten

        what = (
            f"there is no completion for {shorten(chosen)}" if chosen else "SHELL does not say which shell is yours"
        )
        raise UsageError(what, fix=did_you_mean(chosen, SHELLS, f"use one of: {', '.join(SHELLS)}"))
    from tenuto.cli.program import program

    script = script_of(program, chosen)
    if as_json:
        print_json({"shell": chosen, "install": INSTALL[chosen], "script": script})
        return
    click.echo(f"# To have it in every new shell:  {INSTALL[chosen]}\n{script}", nl=not script.endswith("\n"))


def _own_shell() -> str:
    return settings_for().variables.get("SHELL", "").rpartition("/")[2]

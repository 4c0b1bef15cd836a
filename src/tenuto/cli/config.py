"""`tenuto config show|get|path`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_words
from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.configured import Configured

__all__ = ["command"]


@click.group(
    "config",
    short_help="Show the settings and where each comes from.",
    invoke_without_command=True,
    epilog=examples("tenuto config show --origin", "tenuto config get model", "tenuto config path"),
)
@shared_options()
@click.pass_context
def command(context: click.Context, store: str | None, as_json: bool) -> None:
    """Show the settings that hold here. They are written in files or variables: `tenuto config path` says where."""
    if context.invoked_subcommand is None:
        context.invoke(show, origin=True, store=store, as_json=as_json)
    elif store is not None or as_json:
        raise click.UsageError(f"write the flags after {context.invoked_subcommand}")


@command.command("show", short_help="All settings with their values.", epilog=examples("tenuto config show --origin"))
@click.option("--origin", is_flag=True, help="And where each comes from.")
@shared_options()
def show(origin: bool, store: str | None, as_json: bool) -> None:
    """Show every setting with its value. Secrets are named, and their values never shown."""
    from tenuto.app.configured import configured, configured_secrets
    from tenuto.cli.screen import screen_of
    from tenuto.cli.table import styled_table

    settings = settings_for(store=store)
    found, secrets = configured(settings), configured_secrets(settings)
    if as_json:
        print_json({"root": str(settings.root), "settings": found, "secrets": secrets})
        return
    screen = screen_of(settings.variables)
    rows = [(one.key, _value(one), near(one.origin)) for one in found]
    heads = ("setting", "value", "origin")
    rows += [(one.name, "(secret, set)" if one.usable else "(secret, not set)", one.source) for one in secrets]
    shown = 3 if origin else 2
    screen.show(styled_table(heads[:shown], [row[:shown] for row in rows]))


def _value(one: Configured) -> str:
    return "-" if one.value is None else near(_text(one.value))


def _text(value: object) -> str:
    """A value as files have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def near(place: str) -> str:
    """A place below this directory as a relative path."""
    return place.removeprefix(f"{os.getcwd()}/")


def _keys() -> list[str]:
    from tenuto.app.config import KEYS

    return sorted(KEYS)


@command.command("get", short_help="The value of one setting.", epilog=examples("tenuto config get max_parallel"))
@click.argument("key", shell_complete=complete_words(_keys))
@shared_options()
def get(key: str, store: str | None, as_json: bool) -> None:
    """Print the value of the setting KEY and nothing else; an empty line where nothing is set."""
    from tenuto.app.configured import configured
    from tenuto.core.problems import did_you_mean, shorten

    found = {one.key: one for one in configured(settings_for(store=store))}
    if key not in found:
        raise UsageError(f"there is no setting {shorten(key)}", fix=did_you_mean(key, found))
    if as_json:
        print_json({"key": key, "value": found[key].value, "origin": found[key].origin})
    else:
        say("" if found[key].value is None else _text(found[key].value))


@command.command("path", short_help="The files that settings are read from.", epilog=examples("tenuto config path"))
@shared_options(store=False)
def path(as_json: bool) -> None:
    """List the files that settings are read from, the strongest first, and say which of them are there."""
    from tenuto.app.configured import files_of

    settings = settings_for()
    files = files_of(settings)
    if as_json:
        print_json({"root": str(settings.root), "files": [{"path": p, "exists": there} for p, there in files]})
        return
    for name, there in files:
        say(name if there else f"{name}   (not there)")

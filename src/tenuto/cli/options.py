"""What every verb takes, and how one that reads a store is run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.config import Settings

__all__ = ["examples", "settings_for", "shared_options", "with_store"]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


def shared_options(*, store: bool = True) -> Callable[[F], F]:
    """`--json` and `-v`, and `--store` for verbs that use one."""

    def decorate(function: F) -> F:
        function = click.option(
            "-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error."
        )(function)
        function = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)
        if store:
            function = click.option(
                "--store", metavar="URL", help="The store's directory (default: .tenuto of the project)."
            )(function)
        return function

    return decorate


def examples(*lines: str) -> str:
    """Commands as `--help` shows them at its end, one a line."""
    return "\n".join(("\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


def settings_for(start: str | Path = ".", **flags: Any) -> Settings:
    """The settings of a command that works in `start`."""
    from tenuto.app.config import read_settings

    return read_settings(Path(start), flags)


def with_store(store: str | None, work: Callable[[Store], Awaitable[R]]) -> R:
    """Run `work` over the existing store."""
    import asyncio  # not for who only wants help

    from tenuto.app.build import open_store

    async def run() -> R:
        opened = open_store(settings_for(store=store))
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(run())

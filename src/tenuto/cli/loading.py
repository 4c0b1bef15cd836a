"""A run as verbs show it, from the store that a command names; what is told while one is followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.cli.options import settings_for, with_store
from tenuto.cli.output import tell

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.runs import ShownRun
    from tenuto.core.ids import RunId

__all__ = ["load_shown", "tell_idle"]


def load_shown(store: str | None, run: str) -> ShownRun:
    """How a run stands."""

    async def work(opened: Store) -> ShownRun:
        from tenuto.app.runs import show_run

        return await show_run(opened, run)

    return with_store(store, work)


def tell_idle(run: RunId, store: str | None) -> Callable[[], None]:
    """What to say, on stderr, when a run that is followed stands still and nobody drives it."""

    def say_so() -> None:
        from tenuto.cli.driving import store_flag

        flag = store_flag(settings_for(store=store))
        tell(f"tenuto: nobody drives {run} now; waiting for `tenuto resume {run}{flag}` (Ctrl-C ends this)")

    return say_so

"""What `approve` and `reject` have in common: an answer to a call that waits for a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tenuto.cli.options import settings_for, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.core.ids import Position, RunId

__all__ = ["answer"]


def answer(
    run: str, call: str | None, *, approved: bool, note: str, edited: str | None, store: str | None, as_json: bool
) -> None:
    """Put the answer into the run's inbox, and say how to go on."""
    settings = settings_for(store=store)

    async def work(opened: Store) -> tuple[RunId, Position]:
        from tenuto.app.decisions import answer_call, read_json

        details = None if edited is None else read_json("--edit", Path(edited))
        return await answer_call(opened, run, call, approved=approved, details=details, note=note, who=settings.user)

    found, position = with_store(store, work)
    if as_json:
        print_json({"run": found, "call": position, "approved": approved})
        return
    from tenuto.cli.driving import store_flag

    say(f"{'approved' if approved else 'rejected'}: {position} of {found}")
    say(f"  tenuto resume {found}{store_flag(settings)}   # unless something drives it already")

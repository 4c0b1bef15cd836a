"""What a shell completes, by click's own machinery: fast, and silent whatever goes wrong.

`_TENUTO_COMPLETE` is how click's scripts ask; `tenuto completion SHELL` prints them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from tenuto.app.suggesting import Suggestion

__all__ = [
    "COMPLETE_VARIABLE",
    "SHELLS",
    "answer_shell",
    "asked_by_shell",
    "complete_calls",
    "complete_parts",
    "complete_plans",
    "complete_runs",
    "complete_steps",
    "complete_words",
    "script_of",
]

COMPLETE_VARIABLE = "_TENUTO_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def answer_shell(program: click.Command, instruction: str) -> int:
    """Answer a shell that completes a command line. Nothing but the answer is written, whatever happens."""
    from click.shell_completion import shell_complete

    said, out = io.StringIO(), sys.stdout
    with contextlib.redirect_stderr(said):
        try:
            code: int = shell_complete(program, {}, "tenuto", COMPLETE_VARIABLE, instruction)
            out.flush()
        except (Exception, SystemExit):  # noqa: BLE001 - a shell at its prompt wants no traceback
            return 1
    return code


def script_of(program: click.Command, shell: str) -> str:
    """The script that makes a shell ask us."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    text = kind(program, {}, "tenuto", COMPLETE_VARIABLE).source()
    # Without quotes bash would take `review[0]` for a pattern of file names.
    return text.replace("COMPREPLY+=($value)", 'COMPREPLY+=("$value")')


def _items(suggest: Callable[[], Sequence[Suggestion]]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    try:
        return [CompletionItem(found.word, help=found.help or None) for found in suggest()]
    except Exception:  # noqa: BLE001 - no store, a damaged one, a wrong setting: there is nothing to complete
        return []


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Ids of runs."""

    def suggest() -> list[Suggestion]:
        from tenuto.app.suggesting import run_suggestions

        return run_suggestions(ctx.params.get("store"), incomplete)

    return _items(suggest)


def complete_steps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Paths of steps of the run that stands before."""

    def suggest() -> list[Suggestion]:
        from tenuto.app.suggesting import step_suggestions

        return step_suggestions(ctx.params.get("store"), _run_of(ctx), incomplete)

    return _items(suggest)


def complete_calls(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Positions of calls of the run that stands before."""

    def suggest() -> list[Suggestion]:
        from tenuto.app.suggesting import call_suggestions

        return call_suggestions(ctx.params.get("store"), _run_of(ctx), incomplete)

    return _items(suggest)


def complete_parts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Paths of steps; positions of calls once there is a `/` or no step begins so."""
    steps = complete_steps(ctx, param, incomplete)
    return steps if steps and "/" not in incomplete else [*steps, *complete_calls(ctx, param, incomplete)]


def complete_plans(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Plan files; any file where there is none."""

    def suggest() -> list[Suggestion]:
        from tenuto.app.suggesting import plan_suggestions

        return plan_suggestions(incomplete)

    from click.shell_completion import CompletionItem

    return _items(suggest) or [CompletionItem(incomplete, type="file")]


def complete_words(words: Callable[[], Sequence[str]]) -> Completer:
    """Words that are known when they are asked for."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001 - click's signature
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in words() if word.startswith(incomplete)]

    return complete


def _run_of(ctx: click.Context) -> str:
    run = ctx.params.get("run")
    return run if isinstance(run, str) and run else "@last"


def asked_by_shell() -> str:
    """What a shell asks for; empty where none does. Before anything else is read: completing has to be fast."""
    return os.environ.get(COMPLETE_VARIABLE, "")

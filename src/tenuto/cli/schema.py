"""`tenuto schema plan|agent`."""

from __future__ import annotations

import click

from tenuto.cli.completing import complete_words
from tenuto.cli.options import examples, shared_options
from tenuto.cli.output import say

__all__ = ["command"]


@click.command(
    "schema",
    short_help="Print the JSON Schema of plan or agent files.",
    epilog=examples("tenuto schema plan > plan.schema.json"),
)
@click.argument("what", shell_complete=complete_words(lambda: ("plan", "agent")))
@shared_options(store=False)
def command(what: str, as_json: bool) -> None:  # noqa: ARG001 - a schema is JSON either way
    """Print the JSON Schema of WHAT: `plan` files, or the front matter of `agent` files. For editors."""
    import json

    from tenuto.adapters.plans.schema import schema

    for line in json.dumps(schema(what), ensure_ascii=False, indent=2).splitlines():
        say(line)

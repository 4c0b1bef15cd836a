"""`tenuto run PLAN`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tenuto.cli.completing import complete_plans, complete_runs
from tenuto.cli.options import examples, settings_for, shared_options

__all__ = ["command"]


@click.command(
    "run",
    short_help="Run a plan over a repository.",
    epilog=examples(
        "tenuto run hello.plan.yaml",
        "tenuto run fix.plan.yaml --input issue=12 --model openai:gpt-5-mini --max-parallel 8",
    ),
)
@click.argument("plan", shell_complete=complete_plans)
@click.option("--run", "run_id", metavar="ID", help="The run's id (default: a short new one).")
@click.option("--repo", default=".", metavar="DIR", help="The repository (default: here).")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="One of the plan's inputs.")
@click.option("--model", metavar="NAME", help="Use this model for everything: mock:, local:, openai:NAME.")
@click.option("--max-parallel", type=click.IntRange(1, 10_000), metavar="N", help="At most N calls at once.")
@click.option("--seed", metavar="S", help="The run's seed (default: from its id).")
@click.option(
    "--reuse",
    metavar="RUN",
    help="Take the results of this run's steps where nothing differs.",
    shell_complete=complete_runs,
)
@click.option("--strict", is_flag=True, help="Refuse a model that would drop temperature, top_p or seed.")
@click.option("--no-sandbox", is_flag=True, help="Run commands unconfined; this is written into the record.")
@shared_options()
def command(
    plan: str,
    run_id: str | None,
    repo: str,
    inputs: tuple[str, ...],
    model: str | None,
    max_parallel: int | None,
    seed: str | None,
    reuse: str | None,
    strict: bool,
    no_sandbox: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Run PLAN, a *.plan.yaml file, over a repository. The repository is only read: see `tenuto apply`."""
    from tenuto.app.driving import RunOptions, start_run
    from tenuto.app.plans import read_inputs
    from tenuto.cli.driving import drive_command

    settings = settings_for(
        repo,
        store=store,
        model=model,
        max_parallel=max_parallel,
        sandbox="none" if no_sandbox else None,
        strict=strict or None,
    )
    options = RunOptions(
        plan=Path(plan), repository=Path(repo), run=run_id, inputs=dict(read_inputs(inputs)), seed=seed, reuse=reuse
    )

    async def work(opened: Any, drive: Any) -> Any:
        return await start_run(settings, opened, options, drive)

    return drive_command(settings, work, as_json=as_json, create=True)

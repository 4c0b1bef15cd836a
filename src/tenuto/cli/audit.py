"""`tenuto audit MODEL`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say, tell
from tenuto.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tenuto.app.auditing import Auditor
    from tenuto.app.config import Settings
    from tenuto.core.audits import Audit, Series

__all__ = ["command"]

PROMPT_BYTES_MAX = 1 << 20


@click.command(
    "audit",
    short_help="Measure how far a model repeats itself.",
    epilog=examples("tenuto audit local:", "tenuto audit openai:gpt-4o -n 20 --concurrency 4 --budget usd=0.50"),
)
@click.argument("model")
@click.option("-n", "number", type=click.IntRange(1, 10_000), default=50, metavar="N", help="Calls of each series.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=8, metavar="N", help="Calls at once (default 8).")
@click.option("--prompt", metavar="FILE", help="What is asked (default: a long question of our own).")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="The longest answer (default 64).")
@click.option("--budget", multiple=True, metavar="NAME=AMOUNT", help="What may be spent: usd=0.50, tokens=100000.")
@shared_options()
def command(
    model: str,
    number: int,
    concurrency: int,
    prompt: str | None,
    max_tokens: int | None,
    budget: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> int:
    """Ask MODEL the same question again and again, one call at a time and then several at once.

    The figures are stored, and shown beside its grade. Exit 3 where the budget ended it early.
    """
    import asyncio

    settings = settings_for(store=store)
    text = None if prompt is None else _read(prompt)
    audit, entry = asyncio.run(
        _audit(settings, model, number, concurrency, text, max_tokens or 0, _limits(budget), quiet=as_json)
    )
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(audit), "artifact_id": entry})
    else:
        for line in _lines(audit, entry):
            say(line)
    if audit.stopped == "budget":
        return int(ExitCode.EXHAUSTED)
    return int(ExitCode.OK if all(series.answers for series in audit.series) else ExitCode.FAILED)


async def _audit(
    settings: Settings,
    model: str,
    number: int,
    concurrency: int,
    prompt: str | None,
    max_tokens: int,
    limits: dict[str, int],
    *,
    quiet: bool,
) -> tuple[Audit, str | None]:
    from tenuto.adapters.clock import SystemClock
    from tenuto.app.auditing import PROMPT, Auditor, keep_audit
    from tenuto.app.build import make_store, open_store
    from tenuto.app.providers import model_directory, require_keys

    clock = SystemClock()
    models = model_directory(settings, clock, scripts=(Path(),), recorded={})
    opened = open_store(settings, create=True)
    try:
        require_keys(settings, [model])
        asked = PROMPT if prompt is None else opened.redactor.text(prompt)
        auditor = Auditor(
            models=models,
            clock=clock,
            model=model,
            profile=models.profile(model),
            prompt=asked,
            max_tokens=max_tokens,
            limits=limits,
        )
        calls = number * (1 if concurrency == 1 else 2)
        if not quiet:
            tell(_estimate(auditor, calls))
        audit = await auditor.measure(number, concurrency, (lambda _: None) if quiet else _tell_series)
        audit = _redacted(audit, opened.redactor.text)
        if not audit.series[0].answers:
            return audit, None
        make_store(settings.store)
        entry = await keep_audit(opened.artifacts, audit)
        return audit, entry.artifact_id
    finally:
        await models.close()
        await opened.close()


def _redacted(audit: Audit, shown: Any) -> Audit:
    import msgspec

    return msgspec.structs.replace(audit, usual=shown(audit.usual))


def _estimate(auditor: Auditor, calls: int) -> str:
    import msgspec

    from tenuto.cli.amounts import shown_spending

    most = msgspec.to_builtins(auditor.estimate(calls))
    grade = auditor.profile.grade
    return f"at most {shown_spending(most)}; {auditor.model} is {grade}"


def _tell_series(series: Series) -> None:
    tell(f"{series.at_once} at once: {series.same} of {series.answers} identical")


def _lines(audit: Audit, entry: str | None) -> list[str]:
    import msgspec

    from tenuto.cli.amounts import shown_spending

    lines = [f"{audit.model}: {audit.told()}"]
    for one in audit.series:
        at = "none differs" if one.differs_at is None else f"first at character {one.differs_at}"
        cached = f", {one.cached_same} of {one.cached} with a cached prompt the same" if one.cached else ""
        failed = f", {one.failed} failed" if one.failed else ""
        lines.append(
            f"  {one.at_once} at once: {100 * one.low:.1f} to {100 * one.high:.1f} % identical (95 %), "
            f"{one.distinct} different, {at}{cached}{failed}"
        )
    prints = sorted({name or "none" for one in audit.series for name in one.fingerprints})
    lines.append(f"  fingerprints: {', '.join(prints) or 'none'}")
    if audit.dropped:
        lines.append(f"  not sent: {', '.join(audit.dropped)}")
    if audit.stopped:
        lines.append(f"  stopped early: {audit.stopped}")
    stored = "nothing stored" if entry is None else f"stored as {entry}"
    lines.append(f"  spent {shown_spending(msgspec.to_builtins(audit.spent)) or 'nothing'}; {stored}")
    return lines


def _read(path: str) -> str:
    from tenuto.core.canonical import clean

    try:
        with Path(path).open("rb") as file:
            data = file.read(PROMPT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", where=path, fix="name a file with the prompt"
        ) from None
    if len(data) > PROMPT_BYTES_MAX or not data.strip():
        raise UsageError("is empty, or larger than 1 MiB", where=path, fix="name a file with the prompt")
    text: str = clean(data.decode("utf-8", "replace"))
    return text


def _limits(given: tuple[str, ...]) -> dict[str, int]:
    from tenuto.app.amounts import AMOUNT_NAMES, read_amounts

    amount, time_ms = read_amounts(given, flag="--budget")
    found = {d: value for d in AMOUNT_NAMES.values() if d != "time_ms" and (value := getattr(amount, d))}
    if time_ms or found.keys() & {"tool_calls", "iterations"}:
        raise UsageError("an audit spends only tokens, money and model calls", where="--budget", fix="limit these")
    return found

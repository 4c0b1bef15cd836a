"""Limits, retries, loops, grants and merges of plans built in Python."""

from __future__ import annotations

from collections.abc import Iterable

from tenuto.adapters.building.expressions import Expression
from tenuto.adapters.building.values import Duration, Money, milliseconds, names, usd_micros
from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Step
from tenuto.core.policies import Repeat, Retry
from tenuto.core.repetition import CLOCK, Repeatable, clock_seconds
from tenuto.core.tools import Grants
from tenuto.errors import UsageError

__all__ = ["condition_text", "grants", "limits", "merged_by", "prefer", "repeat", "repeatable", "retry"]


def limits(
    *,
    usd: Money | None = None,
    tokens: int | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    model_calls: int | None = None,
    tool_calls: int | None = None,
    iterations: int | None = None,
    time: Duration | None = None,
) -> Limits:
    """At most what a run, a step or an agent spends; `time` is a run's only."""
    return Limits(
        input_tokens=input_tokens,
        iterations=iterations,
        model_calls=model_calls,
        output_tokens=output_tokens,
        time_ms=milliseconds(time),
        tokens=tokens,
        tool_calls=tool_calls,
        usd_micros=usd_micros(usd),
    )


def retry(*, attempts: int = 1, tries: int = 4, backoff: Duration = "1s") -> Retry:
    """`attempts`: starts of the step. `tries`: repeats of one call for transport reasons. Both count the first."""
    return Retry(attempts=attempts, backoff_ms=milliseconds(backoff) or 0, tries=tries)


def repeat(max: int, until: str | Expression | None = None) -> Repeat:
    """Run the step again and again, `max` times or until a condition over `last` holds."""
    return Repeat(max=max, until=condition_text(until))


def repeatable(*, clock: str = CLOCK, on: bool = True) -> Repeatable:
    """Commands that give the same bytes each time. UsageError where `clock` is no moment such as the default."""
    try:
        clock_seconds(clock)
    except ValueError:
        fix = f"write a moment of UTC since 1980, such as {CLOCK}"
        raise UsageError("this is no moment", where=f"clock={clock!r}", fix=fix) from None
    return Repeatable(clock=clock, on=on)


def grants(
    *,
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    network: bool = False,
    env: Iterable[str] = (),
    secrets: Iterable[str] = (),
) -> Grants:
    """What a step may touch beyond its tree."""
    return Grants(env=tuple(env), network=network, read=tuple(read), secrets=tuple(secrets), write=tuple(write))


def prefer(step: Step | str) -> MergePolicy:
    """In a conflict between trees, take this step's text."""
    return MergePolicy(kind="prefer", prefer=names(step)[0])


def merged_by(agent: AgentSpec | str) -> MergePolicy:
    """In a conflict between trees, let this agent resolve it."""
    return MergePolicy(kind="agent", agent=names(agent)[0])


def condition_text(condition: str | Expression | bool | None) -> str | None:
    """A condition as a plan holds it."""
    if isinstance(condition, bool):
        return "true" if condition else "false"
    return condition.inside if isinstance(condition, Expression) else condition

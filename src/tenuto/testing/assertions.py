"""Assertions over runs: from bundles, from simulations, or as states."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

from tenuto.core.budget import DIMENSIONS
from tenuto.core.report import step_result
from tenuto.core.state import ExecutionState
from tenuto.runtime.contents import Contents
from tenuto.runtime.replay import replay
from tenuto.testing.recorded_runs import RecordedRun, complaint, in_a_loop
from tenuto.testing.sim import Simulation

__all__ = ["assert_replays", "assert_under_budget", "crash_at"]

SHOWN_MAX = 5


def assert_replays(
    run: str | os.PathLike[str] | Simulation, *, against: str | os.PathLike[str] | None = None
) -> None:
    """A bundle replays under the plan, prompts, agents and tools of `against`, a simulation as it was recorded.

    Without `against`: the nearest directory above the bundle that holds the plan's file. AssertionError with the
    first call that differs, recorded against current.
    """
    __tracebackhide__ = True
    if isinstance(run, Simulation):
        contents = Contents(run.journal, run.artifacts)
        report = in_a_loop(replay(run.journal, contents, run.run_id, run.functions))
    else:
        report = RecordedRun(Path(run)).replay(None if against is None else Path(against))
    wrong = complaint(report)
    if wrong:
        raise AssertionError(f"run {report.run} does not replay\n{wrong}")


def assert_under_budget(
    run: str | os.PathLike[str] | Simulation | ExecutionState, *, usd: str | None = None, **most: int
) -> None:
    """The run spent at most so much: `tokens`, `input_tokens`, `output_tokens`, `model_calls`, `tool_calls`,
    `iterations`, and `usd` as text ("0.50"). Holds of calls in doubt count as spent.

    AssertionError names the dimension and the steps that spent most of it.
    """
    __tracebackhide__ = True
    unknown = sorted(set(most) - set(DIMENSIONS))
    if unknown:
        raise TypeError(f"budgets have no {unknown[0]}; use one of {', '.join(DIMENSIONS)}, or usd")
    if usd is not None:
        most["usd_micros"] = int(Decimal(usd) * 1_000_000)
    state = _state(run)
    over: list[str] = []
    for dimension, limit in most.items():
        spent = getattr(state.spent, dimension)
        if spent > limit:
            over.append(f"{spent:,} {dimension}, more than {limit:,}{_by_step(state, dimension)}")
    if over:
        raise AssertionError(f"run {state.run} spent {'; '.join(over)}")


def crash_at(
    simulation: Simulation, *, append: int | None = None, effect: int | None = None, after: bool = False
) -> ExecutionState:
    """Start the run, kill its engine at the append or the effect of that number (from 0), and resume it with a new
    one. The state it came to.

    AssertionError where the run ended before: `appends` and `awaits` of a whole run say how many there are.
    """
    __tracebackhide__ = True
    if (append is None) == (effect is None):
        raise TypeError("crash_at takes append= or effect=")
    if append is not None:
        crashed, place = simulation.crash_at_append(append, after=after), f"append {append}"
    else:
        crashed, place = simulation.crash_at_await(effect or 0, after=after), f"effect {effect}"
    if not crashed:
        raise AssertionError(f"the run ended before {place}")
    return simulation.resume()


def _state(run: str | os.PathLike[str] | Simulation | ExecutionState) -> ExecutionState:
    if isinstance(run, ExecutionState):
        return run
    if isinstance(run, Simulation):
        return run.state()
    return RecordedRun(Path(run)).state()


def _by_step(state: ExecutionState, dimension: str) -> str:
    """The steps that spent most, where the run keeps an account of this for each."""
    spent = {path: step_result(state, step).spent for path, step in state.steps.items()}
    amounts = {path: getattr(amount, dimension) for path, amount in spent.items() if amount is not None}
    most = sorted(((amount, path) for path, amount in amounts.items() if amount), reverse=True)[:SHOWN_MAX]
    return f" ({', '.join(f'{path} {amount:,}' for amount, path in most)})" if most else ""

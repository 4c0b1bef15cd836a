"""What a plan can cost at most, against what runs of it cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.app.checking import check_plan
from tenuto.app.config import read_settings
from tenuto.app.forecast import DIMENSIONS, Bound, Forecast, StepForecast

HEAD = "tenuto: 1\nname: cost\n"
PRICED = 'defaults: { model: "mock:x?input_micros=1000000&output_micros=2000000", max_tokens: 100 }\n'
ONE_TRY = "retry: { attempts: 1, tries: 1 }"


@pytest.fixture
def forecast_of(tmp_path: Path) -> Callable[[str], Any]:
    async def find(text: str) -> Forecast:
        (tmp_path / "cost.plan.yaml").write_text(HEAD + text)
        checked = await check_plan(read_settings(tmp_path, {}, {}), tmp_path / "cost.plan.yaml", tmp_path)
        return checked.forecast

    return find


def step(found: Forecast, name: str) -> StepForecast:
    return next(one for one in found.steps if one.step == name)


async def test_a_constant_prompt_is_bounded_by_what_the_ledger_holds(forecast_of: Callable[[str], Any]) -> None:
    found = await forecast_of(f'{PRICED}steps: {{ a: {{ prompt: "Hello", {ONE_TRY} }} }}\n')
    whole = found.whole
    assert (whole.model_calls, whole.output_tokens, whole.tool_calls) == (1, 100, 0)
    message = json.dumps({"role": "user", "text": "Hello"}, separators=(",", ":"))
    assert whole.tokens == len(message) + 64 + 100
    assert whole.usd_micros == (len(message) + 64) + 2 * 100


async def test_attempts_tries_corrections_and_repeats_multiply(forecast_of: Callable[[str], Any]) -> None:
    schema = "output: { type: object }"
    found = await forecast_of(
        f'{PRICED}steps: {{ a: {{ prompt: "x", retry: {{ attempts: 2, tries: 3 }} }},'
        f' b: {{ prompt: "x", {schema}, {ONE_TRY} }},'
        f' c: {{ prompt: "x", {ONE_TRY}, repeat: {{ max: 5 }} }},'
        ' d: { run: "true", retry: { attempts: 3 } } }\n'
    )
    assert step(found, "a").whole.model_calls == 6
    assert step(found, "b").whole.model_calls == 3
    assert step(found, "b").whole.tokens is None, "a correction holds an answer of unknown length"
    assert step(found, "c").whole.model_calls == 5
    assert step(found, "d").whole == Bound(tool_calls=3)
    assert found.whole.model_calls == 14
    assert found.whole.tokens is None


async def test_a_foreach_of_unknown_width_is_told_per_item_and_by_its_budget(
    forecast_of: Callable[[str], Any],
) -> None:
    found = await forecast_of(
        f"{PRICED}inputs: {{ names: {{ type: array }} }}\nsteps:\n"
        f'  known: {{ foreach: [a, b, c], prompt: "x", {ONE_TRY} }}\n'
        f'  open: {{ foreach: "${{{{ inputs.names }}}}", prompt: "x", {ONE_TRY} }}\n'
        f'  held: {{ foreach: "${{{{ inputs.names }}}}", prompt: "x", {ONE_TRY}, budget: {{ model_calls: 7 }} }}\n'
    )
    assert (step(found, "known").items, step(found, "known").whole.model_calls) == (3, 3)
    assert (step(found, "open").each.model_calls, step(found, "open").whole.model_calls) == (1, None)
    assert (step(found, "held").each.model_calls, step(found, "held").whole.model_calls) == (1, 7)
    assert found.whole.model_calls is None


async def test_the_budget_bounds_all_of_it(forecast_of: Callable[[str], Any]) -> None:
    found = await forecast_of(
        f'budget: {{ tokens: 5000, usd: "0.50" }}\n{PRICED}steps: {{ a: {{ prompt: "x" }}, b: {{ needs: [a], '
        'prompt: "${{ steps.a.output }}" } }\n'
    )
    assert (found.whole.tokens, found.whole.usd_micros) == (5000, 500_000)


@pytest.mark.parametrize("seed", range(3))
async def test_no_run_costs_more(tmp_path: Path, forecast_of: Callable[[str], Any], seed: int) -> None:
    from tenuto.app.build import open_store
    from tenuto.app.driving import Drive, RunOptions, Stopper, start_run

    model = "mock:x?fail=0.4&input_micros=1000000&output_micros=2000000"
    retry = "retry: { attempts: 3, tries: 2, backoff: 1ms }, on_error: continue"
    text = (
        f'defaults: {{ model: "{model}", max_tokens: 60 }}\nsteps:\n'
        f'  a: {{ prompt: "one", {retry} }}\n'
        f'  b: {{ foreach: [x, y], prompt: "two", {retry} }}\n'
    )
    found = await forecast_of(text)
    assert all(getattr(found.whole, dimension) is not None for dimension in DIMENSIONS)
    settings = read_settings(tmp_path, {}, {})
    store = open_store(settings, create=True)
    drive = Drive(listen=lambda _: None, named=lambda _: None, stopper=Stopper())
    options = RunOptions(plan=tmp_path / "cost.plan.yaml", repository=tmp_path, run=f"r{seed}", seed=str(seed))
    try:
        state = await start_run(settings, store, options, drive)
    finally:
        await store.close()
    for dimension in DIMENSIONS:
        assert getattr(state.spent, dimension) <= getattr(found.whole, dimension)
    assert state.spent.model_calls > 0

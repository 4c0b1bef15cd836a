"""Agents race for one token limit against a server that fails and counts: nobody spends more, and who is refused
does not depend on timing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenuto.testing.outside import Answer, CommandLine, ServerProcess

PLAN = """\
tenuto: 1
name: race
budget: {{ tokens: {limit} }}
defaults: {{ max_tokens: 40, on_error: {on_error}, retry: {{ tries: 2, backoff: 1ms }} }}
steps:
{steps}"""
STEP = '  agent{number}: {{ prompt: "You are agent {number} of the race. {padding}" }}\n'

FAILURES = (
    *("429~agent 1 ", "500~agent 2 ", "cut~agent 4 ", "429~agent 5 ", "500~agent 6 ", "cut~agent 0 "),
    *("429~Note 2 ", "500~Note 3 ", "cut~Summarise"),
)
"""They strike by what is asked, the first time it is asked: so the outcome of every call is fixed."""
TIMINGS = (((), 64), (("slow:40%3", "slow:1%1"), 2), (("slow:15%1",), 16))
"""How slow the server is, and how many calls may be open at once."""


class Raced(NamedTuple):
    answer: Answer
    refused: list[str]
    billed: int
    failed: int


def race(project: Path, store: Path, plan: str, limit: int, timing: tuple[tuple[str, ...], int], model: str) -> Raced:
    """One race on a server of its own."""
    (project / "race.plan.yaml").write_text(plan)
    slowness, parallel = timing
    with ServerProcess(faults=(*FAILURES, *slowness)) as server:
        tenuto = CommandLine(store, directory=project, environment=server.environment)
        arguments = ("--run", "r", "--seed", "s", "--model", model, "--max-parallel", str(parallel))
        answer = tenuto.call("run", "race.plan.yaml", *arguments)
        counts = server.counts()
        failed = counts["refused"] + sum(call["fault"] in ("500", "cut") for call in server.calls())
    records = tenuto.records("r")
    check_every_record(records, limit)
    refused = sorted(record["data"]["call"] for record in records if record["kind"] == "CallRefused")
    if answer.exit == 3:
        last = [record for record in records if record["kind"] == "RunExhausted"][-1]
        refused = sorted(parked["call"] for parked in last["data"]["parked"])
    return Raced(answer, refused, counts["input_tokens"] + counts["output_tokens"], failed)


def check_every_record(records: list[dict[str, Any]], limit: int) -> None:
    """Fold the ledger once more, without the engine's code: what is held and spent never exceeds the limit."""
    held: dict[tuple[str, int], int] = {}
    spent = 0
    for record in records:
        data = record["data"]
        call = (data.get("call", ""), data.get("try", 1))
        match record["kind"]:
            case "ModelCallRequested":
                held[call] = data["hold"]["tokens"]
            case "ModelReplied":
                held.pop(call)
                usage = data["usage"]
                spent += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            case "ModelCallFailed":
                hold = held.pop(call)
                spent += hold if data["kept"] else 0
            case "CallLost":
                spent += held.pop(call)
            case _:
                pass
        assert spent + sum(held.values()) <= limit


def check_races(races: list[Raced], limit: int, on_error: str) -> None:
    """Within the limit by both counts, and alike in every timing."""
    for raced in races:
        budget = raced.answer.data["budget"]
        spent = budget["spent"]["tokens"]
        assert raced.answer.exit == (3 if raced.refused and on_error == "fail" else 0)
        assert budget["limit"]["tokens"] == limit
        assert budget["reserved"] == {}
        assert raced.billed <= spent <= limit
        assert spent - sum(hold["tokens"] for hold in budget["in_doubt"]) <= raced.billed
    assert len({tuple(raced.refused) for raced in races}) == 1
    assert len({raced.answer.exit for raced in races}) == 1
    assert len({raced.answer.data["result_digest"] for raced in races}) == 1
    assert len({str(raced.answer.data["outputs"]) for raced in races}) == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("on_error", ["fail", pytest.param("continue", marks=pytest.mark.battery)])
@pytest.mark.parametrize(
    ("agents", "limit"),
    [(8, 700), *(pytest.param(*size, marks=pytest.mark.battery) for size in ((1, 260), (1, 400), (64, 2_400)))],
)
def test_racing_agents_never_exceed_the_limit(
    project: Path, tmp_path: Path, figure: Callable[[str], None], agents: int, limit: int, on_error: str
) -> None:
    steps = "".join(STEP.format(number=n, padding="Run. " * (1 + n % 7)) for n in range(agents))
    plan = PLAN.format(limit=limit, on_error=on_error, steps=steps)
    timings = TIMINGS if agents > 8 else TIMINGS[:2]
    races = [
        race(project, tmp_path / f"store{number}", plan, limit, timing, "openai:m?size=40..160")
        for number, timing in enumerate(timings)
    ]
    check_races(races, limit, on_error)
    figure(
        f"{agents} agents, limit {limit}, on_error {on_error}: exit {races[0].answer.exit}, ledger "
        f"{[raced.answer.data['budget']['spent']['tokens'] for raced in races]}, server "
        f"{[raced.billed for raced in races]}, failures {[raced.failed for raced in races]}, "
        f"refused {len(races[0].refused)} alike in {len(races)} timings"
    )
    if agents > 1:
        assert 0 < len(races[0].refused) < agents
        assert races[0].failed > 0


@pytest.mark.sandbox
@pytest.mark.timeout(600)
@pytest.mark.parametrize("on_error", ["fail", "continue"])
@pytest.mark.parametrize(
    "limit", [pytest.param(limit, marks=pytest.mark.battery) for limit in (400, 1_500, 3_000, 5_000, 9_000)]
)
def test_a_mixed_team_is_refused_alike_in_every_timing(
    project: Path, tmp_path: Path, figure: Callable[[str], None], limit: int, on_error: str
) -> None:
    mixed = (project / "mixed.plan.yaml").read_text()
    plan = mixed.replace("defaults: {", f"budget: {{ tokens: {limit} }}\ndefaults: {{ on_error: {on_error},")
    races = [
        race(project, tmp_path / f"store{number}", plan, limit, timing, "openai:m?tools=2&calls=2")
        for number, timing in enumerate((((), 1), *TIMINGS))
    ]
    check_races(races, limit, on_error)
    figure(
        f"mixed team, limit {limit}, on_error {on_error}: exit {races[0].answer.exit}, ledger "
        f"{[raced.answer.data['budget']['spent']['tokens'] for raced in races]}, refused {races[0].refused} "
        f"alike in {len(races)} timings"
    )


@pytest.mark.battery
@pytest.mark.timeout(600)
@pytest.mark.parametrize("limit", [1_500, 4_000])
def test_kills_never_make_spending_exceed_the_limit(
    project: Path, tmp_path: Path, figure: Callable[[str], None], limit: int
) -> None:
    """Each kill leaves holds in doubt, which count as spent: what is billed stays below the limit all the same."""
    draw = random.Random(limit)
    steps = "".join(STEP.format(number=n, padding="Run. ") for n in range(24))
    (project / "race.plan.yaml").write_text(PLAN.format(limit=limit, on_error="fail", steps=steps))
    kills, exits = 0, []
    with ServerProcess(faults=(*FAILURES, "slow:30%1")) as server:
        for number in range(4):
            tenuto = CommandLine(tmp_path / f"store{number}", directory=project, environment=server.environment)
            before = server.counts()
            words: tuple[str, ...] = ("run", "race.plan.yaml", "--run", "r", "--model", "openai:m")
            for _ in range(5):
                engine = tenuto.start(*words)
                target = server.counts()["counted"] + draw.randint(1, 6)
                for _ in server.waiting(target):
                    if engine.poll() is not None:
                        break
                kills += engine.poll() is None
                engine.kill()
                engine.communicate()
                words = ("resume", "r") if tenuto.call("show", "r").exit != 2 else words
            answer = tenuto.call(*words)
            shown = tenuto.call("show", "r")
            assert answer.exit in (0, 2, 3), answer
            assert answer.exit != 2 or shown.data["status"] == "ok", answer
            after = server.counts()
            billed = sum(after[name] - before[name] for name in ("input_tokens", "output_tokens"))
            budget = shown.data["budget"]
            assert billed <= budget["spent"]["tokens"] <= limit
            assert budget["reserved"] == {}
            check_every_record(tenuto.records("r"), limit)
            exits.append((shown.data["exit"], budget["spent"]["tokens"], billed))
    figure(f"24 agents, limit {limit}, {kills} kills in 4 runs: (exit, ledger, server) {exits}")

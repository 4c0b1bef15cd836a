"""Kill -9 at random moments: the same result, nothing recorded is repeated, and the ledger tells the truth."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenuto.testing.outside import Answer, CommandLine, ServerProcess

MODEL = "openai:m?tools=2&calls=2"


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess(faults=("slow:25%3", "slow:7%1")) as server:
        yield server


def wait_random(draw: random.Random, server: ServerProcess, engine: Any) -> None:
    """Until a random moment of an engine's life: its start, or some calls later, in the middle of anything."""
    if draw.random() < 0.1:
        time.sleep(draw.uniform(0, 1))
        return
    target = server.counts()["counted"] + draw.randint(1, 5)
    for _ in server.waiting(target):
        if engine.poll() is not None:
            return
    time.sleep(draw.uniform(0, 0.04))


def drive(tenuto: CommandLine, run: str, *, verb: str) -> Any:
    if verb == "resume":
        return tenuto.start("resume", run)
    return tenuto.start("run", "mixed.plan.yaml", "--run", run, "--seed", "s", "--model", MODEL)


def by_kind(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record["data"] for record in records if record["kind"] == kind]


def seeds_of(records: list[dict[str, Any]], kind: str) -> Counter[int]:
    """How many records of this kind each model call has; the sampling seed names the call on both sides."""
    asked = {data["call"]: data["config"]["seed"] for data in by_kind(records, "ModelCallRequested")}
    return Counter(asked[data["call"]] for data in by_kind(records, kind) if data["call"] in asked)


def check_calls(records: list[dict[str, Any]], served: list[dict[str, Any]]) -> int:
    """No call was made more often than recorded; the number of calls that were billed again after a kill."""
    requested = seeds_of(records, "ModelCallRequested")
    replied = seeds_of(records, "ModelReplied")
    lost = seeds_of(records, "CallLost")
    counted = Counter(call["seed"] for call in served)
    assert set(counted) <= set(requested)
    for seed, times in counted.items():
        assert times <= requested[seed] == replied[seed] + lost[seed]
        assert replied[seed] == 1
    tools = Counter(data["call"] for data in by_kind(records, "ToolReturned"))
    assert set(tools.values()) <= {1}
    return sum(times - 1 for times in counted.values())


def check_ledger(answer: Answer, served: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Spent, billed and doubtful tokens: spent is what was billed for answers, and exactly the doubtful holds."""
    cost = {call["seed"]: call["input_tokens"] + call["output_tokens"] for call in served}
    budget = answer.data["budget"]
    doubtful = sum(hold.get("tokens", 0) for hold in budget["in_doubt"])
    spent = budget["spent"]["tokens"]
    billed = sum(call["input_tokens"] + call["output_tokens"] for call in served)
    assert spent - doubtful == sum(cost.values())
    assert billed <= spent
    assert budget["reserved"] == {}
    return spent, billed, doubtful


@pytest.mark.sandbox
@pytest.mark.timeout(1700)
@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.battery)])
def test_a_killed_run_ends_in_the_same_result(
    project: Path, tmp_path: Path, server: ServerProcess, figure: Callable[[str], None], kills: int
) -> None:
    draw = random.Random(20_261)
    environment = server.environment
    whole = CommandLine(tmp_path / "whole", directory=project, environment=environment)
    expected = whole.finish(drive(whole, "whole", verb="run"))
    assert expected.exit == 0, expected
    done, runs, repeated, early, late = 0, 0, 0, 0, 0
    spent = billed = doubtful = 0
    while done < kills:
        tenuto = CommandLine(tmp_path / "killed", directory=project, environment=environment)
        run, verb, before = f"k{runs}", "run", len(server.calls())
        runs += 1
        answered: Counter[int] = Counter()
        records: list[dict[str, Any]] = []
        for _ in range(min(8, kills - done)):
            engine = drive(tenuto, run, verb=verb)
            wait_random(draw, server, engine)
            killed = engine.poll() is None
            engine.kill()
            engine.communicate()
            found = tenuto.call("events", run)
            verb = "run" if found.exit == 2 else "resume"
            done += killed
            early += verb == "run"
            if verb == "run":
                continue
            assert found.exit == 0, found
            records = [json.loads(line) for line in found.stdout.splitlines()]
            served = server.calls()[before:]
            counts = Counter(call["seed"] for call in served)
            for seed, times in answered.items():
                assert counts[seed] == times, "a call with a recorded answer was made again"
            answered = Counter({seed: counts[seed] for seed in seeds_of(records, "ModelReplied")})
            if records[-1]["kind"] == "RunEnded":
                late += killed
                done -= killed
                break
        over = verb == "resume" and records[-1]["kind"] == "RunEnded"
        ended = tenuto.call("show", run) if over else tenuto.finish(drive(tenuto, run, verb=verb))
        assert ended.exit == 0, ended
        for name in ("result_digest", "tree_digest", "outputs"):
            assert ended.data[name] == expected.data[name]
        served = server.calls()[before:]
        repeated += check_calls(tenuto.records(run), served)
        costs = check_ledger(ended, served)
        spent, billed, doubtful = spent + costs[0], billed + costs[1], doubtful + costs[2]
        replayed = tenuto.call("replay", run)
        assert replayed.exit == 0, replayed
        assert replayed.data["unchecked"] == []
        shutil.rmtree(tenuto.store)
    figure(
        f"kill -9: {done} kills ({early} before the first record; {late} more after the last) in {runs} runs, "
        f"one result; {repeated} calls billed again, none of them recorded; "
        f"tokens: ledger {spent} = answers {spent - doubtful} + in doubt {doubtful}, server {billed}"
    )

"""One writer a run: many engines side by side do not disturb each other, and of two for one run only one goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.app.build import open_store
from tenuto.app.config import read_settings
from tenuto.app.driving import Drive, RunOptions, Stopper, start_run
from tenuto.core.report import report
from tenuto.testing.outside import CommandLine, ServerProcess

CHAIN = """\
tenuto: 1
name: chain
defaults: { model: "openai:m", max_tokens: 32 }
steps:
  a: { prompt: One. }
  b: { needs: [a], prompt: "Two after ${{ steps.a.output }}" }
  c: { needs: [b], prompt: "Three after ${{ steps.b.output }}" }
  d: { needs: [c], prompt: "Four after ${{ steps.c.output }}" }
outputs: { last: "${{ steps.d.output }}" }
"""
FAN = """\
tenuto: 1
name: fan
defaults: { model: "mock:x?latency_ms=1..20", max_tokens: 32 }
steps:
  ask: { foreach: [1, 2, 3, 4], prompt: "Say ${{ item }}." }
  sum: { needs: [ask], prompt: "Sum up ${{ steps.ask.output }}" }
outputs: { sum: "${{ steps.sum.output }}" }
"""
LEASE_S = 15


async def many(project: Path, stores: list[Path], runs: int) -> set[tuple[str, str]]:
    """Start `runs` engines at once in this process, spread over the stores; status and result of each."""
    opened = []
    for store in stores:
        settings = read_settings(project, {"store": str(store)}, {"HOME": str(project)})
        opened.append((settings, open_store(settings, create=True)))

    async def one(number: int) -> tuple[str, str]:
        settings, store = opened[number % len(opened)]
        options = RunOptions(plan=project / "fan.plan.yaml", repository=project, run=f"r{number}", seed="s")
        drive = Drive(listen=lambda _: None, named=lambda _: None, stopper=Stopper())
        shown = report(await start_run(settings, store, options, drive))
        return shown["status"], shown["result_digest"]

    try:
        return set(await asyncio.gather(*(one(number) for number in range(runs))))
    finally:
        for _, each in opened:
            await each.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engines", [8, pytest.param(50, marks=pytest.mark.battery)])
@pytest.mark.parametrize("shared", [False, True])
def test_many_engines_in_one_process(
    project: Path, tmp_path: Path, figure: Callable[[str], None], engines: int, shared: bool
) -> None:
    (project / "fan.plan.yaml").write_text(FAN)
    stores = [tmp_path / f"store{number}" for number in range(1 if shared else engines)]
    began = time.perf_counter()
    results = asyncio.run(many(project, stores, engines))
    seconds = time.perf_counter() - began
    figure(f"{engines} engines at once in one process, {len(stores)} stores: {len(results)} result, {seconds:.1f} s")
    assert {status for status, _ in results} == {"ok"}
    assert len(results) == 1
    for number in range(0, engines, 7):
        tenuto = CommandLine(stores[number % len(stores)], directory=project)
        assert tenuto.call("verify", f"r{number}").exit == 0
        assert tenuto.call("replay", f"r{number}").exit == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.battery)])
def test_of_two_that_resume_exactly_one_goes_on(
    project: Path, tmp_path: Path, figure: Callable[[str], None], rounds: int
) -> None:
    (project / "chain.plan.yaml").write_text(CHAIN)
    exits, results = [], set()
    for number in range(rounds):
        with ServerProcess(faults=("slow:1500@2,3",)) as server:
            tenuto = CommandLine(tmp_path / "store", directory=project, environment=server.environment)
            run = f"r{number}"
            engine = tenuto.start("run", "chain.plan.yaml", "--run", run, "--seed", "s")
            server.wait_counted(2)
            engine.kill()
            engine.communicate()
            both = [tenuto.start("resume", run) for _ in range(2)]
            answers = [tenuto.finish(process) for process in both]
            exits.append(sorted(answer.exit for answer in answers))
            (winner,) = [answer for answer in answers if answer.exit == 0]
            (loser,) = [answer for answer in answers if answer.exit != 0]
            assert loser.exit == 6, loser
            assert loser.error["fix"]
            assert server.counts()["counted"] == 5
            results.add(winner.data["result_digest"])
            assert tenuto.call("verify", run).exit == 0
    figure(
        f"two processes resume one run, {rounds} rounds: exits {exits[0]} each, 5 calls billed (1 lost in the kill)"
    )
    assert exits == [[0, 6]] * rounds
    assert len(results) == 1


@pytest.mark.battery
@pytest.mark.timeout(300)
def test_an_engine_that_wakes_up_late_is_refused(
    project: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    (project / "chain.plan.yaml").write_text(CHAIN)
    with ServerProcess(faults=("slow:1500@2",)) as server:
        tenuto = CommandLine(tmp_path / "store", directory=project, environment=server.environment)
        sleeper = tenuto.start("run", "chain.plan.yaml", "--run", "r", "--seed", "s")
        try:
            server.wait_counted(2)
            sleeper.send_signal(signal.SIGSTOP)
            early = tenuto.call("resume", "r")
            assert early.exit == 6, early
            time.sleep(LEASE_S + 1)
            taken = tenuto.call("resume", "r")
            assert taken.exit == 0, taken
            counted = server.counts()["counted"]
            digest = tenuto.call("show", "r").data["journal_digest"]
        finally:
            sleeper.send_signal(signal.SIGCONT)
        late = tenuto.finish(sleeper)
        assert late.exit == 6, late
        assert server.counts()["counted"] == counted == 5
    assert tenuto.call("show", "r").data["journal_digest"] == digest == taken.data["journal_digest"]
    assert tenuto.call("verify", "r").exit == 0
    records = tenuto.records("r")
    assert sum(record["kind"] == "RunResumed" for record in records) == 1
    figure(
        "an engine stopped for longer than its lease: another one ended the run, the late one said exit 6, 0 calls"
    )

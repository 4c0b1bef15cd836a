"""Fresh runs with one seed have one result, whatever runs side by side and in whatever order it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tenuto.testing.outside import CommandLine

LOCAL = """\
tenuto: 1
name: small
defaults: { model: "local:", max_tokens: 12 }
steps:
  ask: { foreach: [tree, river, stone], prompt: "Say one word about a ${{ item }}." }
  pick:
    foreach: [tree, river]
    prompt: "Is a ${{ item }} alive?"
    output: { type: object, required: [a], properties: { a: { enum: ["yes", "no"] } }, additionalProperties: false }
  sum: { needs: [ask, pick], prompt: "Repeat: ${{ steps.pick.output }}" }
outputs: { ask: "${{ steps.ask.output }}", sum: "${{ steps.sum.output }}" }
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("repeats", [1, pytest.param(3, marks=pytest.mark.battery)])
def test_fresh_runs_of_a_mock_agree(tenuto: CommandLine, figure: Callable[[str], None], repeats: int) -> None:
    results, journals = set(), set()
    for parallel in (1, 4, 16) if repeats > 1 else (1, 16):
        for number in range(repeats):
            ran = tenuto.call(
                "run",
                "mixed.plan.yaml",
                *("--run", f"p{parallel}n{number}", "--seed", "one", "--max-parallel", str(parallel)),
            )
            assert ran.exit == 0, ran
            results.add((ran.data["result_digest"], ran.data["tree_digest"], str(ran.data["outputs"])))
            journals.add(ran.data["journal_digest"])
    figure(f"mock, one seed, 1 to 16 calls at once: {len(journals)} runs, {len(results)} result")
    assert len(results) == 1
    assert len(journals) == (3 * repeats if repeats > 1 else 2)
    other = tenuto.call("run", "mixed.plan.yaml", "--run", "other", "--seed", "two")
    assert other.data["result_digest"] not in {result for result, *_ in results}


@pytest.mark.local
@pytest.mark.battery
def test_fresh_runs_of_the_local_model_agree(tenuto: CommandLine, figure: Callable[[str], None]) -> None:
    (tenuto.directory / "local.plan.yaml").write_text(LOCAL)
    results = set()
    for parallel in (1, 4, 16):
        run = f"p{parallel}"
        ran = tenuto.call("run", "local.plan.yaml", "--run", run, "--seed", "one", "--max-parallel", str(parallel))
        assert ran.exit == 0, ran
        results.add((ran.data["result_digest"], str(ran.data["outputs"])))
    figure(f"local model, one seed, parallel 1/4/16: 3 runs, {len(results)} result")
    assert len(results) == 1

"""`tenuto.build`: plans in Python are the plans of files, with Python's types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pytest

from tenuto import build, plan_from_yaml
from tenuto.adapters.tools.functions import tool
from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import parse
from tenuto.errors import UsageError

SAME = """\
tenuto: 1
name: fix
description: Fixes an issue.
inputs: { issue: { type: string }, max_files: { type: integer, default: 5 } }
budget: { usd: "2.00", tokens: 400000, time: 20m, model_calls: 200 }
agents:
  planner: { instructions: You plan., tools: [read_file], iterations: 4, limits: { tokens: 9000 }, timeout: 30s }
  coder: { instructions: You code., fallback: [planner], role: coder, capabilities: [edit] }
defaults: { model: "mock:", retry: { attempts: 3, backoff: 2s } }
steps:
  triage:
    agent: planner
    prompt: "Triage ${{ with.issue }}"
    with: { issue: "${{ inputs.issue }}" }
    output: { type: object, properties: { files: { type: array, items: { type: string } } }, required: [files] }
  patch:
    needs: [triage]
    if: size(steps.triage.output.files) <= inputs.max_files
    foreach: ${{ steps.triage.output.files }}
    key: ${{ item }}
    max_parallel: 3
    agent: coder
    fallback: [planner]
    prompt: Fix ${{ item }}
    budget: { usd: "0.50" }
    repeat: { max: 3, until: last.output == "done" }
    reads: [src/**]
    tools: [edit_file]
  test:
    needs: [patch]
    run: pytest -q
    timeout: 5m
    on_error: continue
    grants: { network: true }
    effect: once
    merge: { prefer: patch }
  review: { needs: [test], uses: "python:team:review", with: { log: "${{ steps.test.output.stdout }}" } }
  pause: { needs: [review], wait: 1m30s }
  ship: { needs: [pause], approval: { ask: "Apply?", expires: 24h } }
  again: { needs: [ship], merge: { agent: coder }, plan: { name: small, steps: { a: { run: "true" } } } }
  drafted: { needs: [triage], plan: "${{ steps.triage.output }}" }
outputs: { report: "${{ steps.test.output }}", "no": "${{ steps.test.status }}" }
merge: { prefer: ship }
"""


class Triage(msgspec.Struct):
    files: list[str]


def built() -> tuple[Any, list[AgentSpec]]:
    planner = build.agent(
        "planner",
        "You plan.",
        tools=["read_file"],
        iterations=4,
        limits=build.limits(tokens=9_000),
        timeout=timedelta(seconds=30),
    )
    coder = build.agent("coder", "You code.", fallback=[planner], role="coder", capabilities=["edit"])
    triage = build.prompt(
        "triage",
        f"Triage {build.value('issue')}",
        agent=planner,
        values={"issue": build.given("issue")},
        output=Triage,
    )
    files = build.output(triage)["files"]
    patch = build.prompt(
        "patch",
        f"Fix {build.item}",
        needs=triage,
        condition=build.expression(f"size({files.inside}) <= inputs.max_files"),
        foreach=files,
        key=build.item,
        max_parallel=3,
        agent=coder,
        fallback=planner,
        budget=build.limits(usd=Decimal("0.5")),
        repeat=build.repeat(3, until='last.output == "done"'),
        reads=["src/**"],
        tools=["edit_file"],
    )
    test = build.run(
        "test",
        "pytest -q",
        needs=[patch],
        timeout="5m",
        on_error="continue",
        grants=build.grants(network=True),
        effect="once",
        merge=build.prefer(patch),
    )
    review = build.uses("review", "python:team:review", needs="test", values={"log": build.output(test)["stdout"]})
    pause = build.wait("pause", timedelta(seconds=90), needs=review)
    ship = build.approval("ship", "Apply?", expires="24h", needs=pause)
    small = build.plan("small", build.run("a", "true"))
    plan = build.plan(
        "fix",
        *(triage, patch, test, review, pause, ship),
        build.subplan("again", small, needs=ship, merge=build.merged_by(coder)),
        build.subplan("drafted", build.output(triage), needs=triage),
        description="Fixes an issue.",
        inputs={"issue": build.input(str), "max_files": build.input(int, default=5)},
        budget=build.limits(usd="2.00", tokens=400_000, time="20m", model_calls=200),
        defaults=build.defaults(model="mock:", retry=build.retry(attempts=3, backoff=timedelta(seconds=2))),
        outputs={"report": build.output(test), "no": build.status(test)},
        merge=build.prefer(ship),
    )
    return plan, [coder, planner]


def test_a_plan_built_in_python_is_the_plan_of_a_file() -> None:
    plan, agents = built()
    loaded = plan_from_yaml(SAME)
    assert plan == loaded.plan
    assert plan.digest == loaded.plan.digest
    assert agents == list(loaded.agents.values())


def test_expressions_are_written_as_paths() -> None:
    step = build.run("a-b", "true")
    shown = {
        str(build.output(step)["x"][0]["odd key"]["a-b"]): '${{ steps.a-b.output.x[0]["odd key"].a-b }}',
        str(build.error("x")["kind"]): "${{ steps.x.error.kind }}",
        f"{build.last['output']}/{build.iteration}/{build.key}": "${{ last.output }}/${{ iteration }}/${{ key }}",
        str(build.expression("1 + 2")): "${{ 1 + 2 }}",
    }
    assert list(shown) == list(shown.values())
    with pytest.raises(TypeError, match="foreach"):
        list(build.output(step))  # type: ignore[call-overload]


@dataclass
class Point:
    x: int
    tags: list[str]


class Answer(TypedDict):
    yes: bool


class Tree(msgspec.Struct):
    name: str
    below: list[Tree] = []


class LikePydantic:
    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        return {"type": "object", "title": "Like"}


def schema(kind: Any) -> Any:
    made = build.prompt("a", "b", output=kind).output
    return None if made is None else parse(made)


def test_types_are_output_schemas() -> None:
    assert schema(None) is None
    assert schema(list[int]) == {"type": "array", "items": {"type": "integer"}}
    assert schema({"type": "string"}) == {"type": "string"}
    assert schema(Point)["required"] == ["x", "tags"]
    assert schema(Answer)["properties"] == {"yes": {"type": "boolean"}}
    assert schema(LikePydantic) == {"type": "object", "title": "Like"}
    assert schema(msgspec.Raw(b"{}")) == {}
    with pytest.raises(UsageError, match="no JSON Schema"):
        schema(object)


def test_the_schema_of_a_type_that_holds_itself_keeps_its_definition() -> None:
    made = schema(Tree)
    assert made["properties"]["below"]["items"] == {"$ref": "#/$defs/Tree"}
    import jsonschema_rs

    check = jsonschema_rs.validator_for(made)
    assert check.is_valid({"name": "a", "below": [{"name": "b"}]})
    assert not check.is_valid({"name": "a", "below": [{"nam": "b"}]})


WRONG: dict[str, Callable[[], object]] = {
    "a duration without unit": lambda: build.wait("a", timedelta(microseconds=5)),
    "a text that is no duration": lambda: build.run("a", "x", timeout="5 minutes"),
    "a negative duration": lambda: build.run("a", "x", timeout=timedelta(seconds=-1)),
    "a float of dollars": lambda: build.limits(usd=0.1),  # type: ignore[arg-type]
    "too small a coin": lambda: build.limits(usd="0.0000001"),
    "no money": lambda: build.limits(usd="much"),
    "no JSON": lambda: build.run("a", "x", values={"v": object()}),
    "no number": lambda: build.plan("a", outputs={"v": float("nan")}),
    "an input of no type": lambda: build.input(object),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("why", WRONG)
def test_wrong_values_are_refused_where_they_are_given(why: str) -> None:
    with pytest.raises(UsageError):
        WRONG[why]()


@tool(effect="read")
def look(path: str) -> str:
    """Look."""
    return path


@build.agent(model="mock:", tools=[look, "run"], limits=build.limits(tokens=100))
def judge(text: str, strict: bool = True) -> Point:
    """You judge.

    Be fair.
    """
    raise AssertionError("it is never called")


def test_a_function_is_an_agent() -> None:
    assert isinstance(judge, AgentSpec)
    assert (judge.name, judge.instructions, judge.tools) == ("judge", "You judge.\n\nBe fair.", ("look", "run"))
    (ability,) = judge.capabilities
    assert ability.input_schema is not None
    assert ability.output_schema is not None
    assert set(parse(ability.input_schema)["properties"]) == {"text", "strict"}
    asked = build.prompt("a", "Judge.", agent=judge)
    assert asked.output == ability.output_schema
    assert build.prompt("a", "Judge.", agent=judge, output=bool).output == msgspec.Raw(b'{"type":"boolean"}')
    assert build.prompt("a", "Judge.", agent="judge").output is None


def test_a_function_without_types_says_no_schemas() -> None:
    @build.agent(name="free")
    def anything():  # type: ignore[no-untyped-def]
        """Do."""

    assert anything.name == "free"
    assert anything.capabilities[0].output_schema is None
    assert build.prompt("a", "b", agent=anything).output is None


def test_a_function_that_cannot_be_an_agent_is_refused() -> None:
    def silent() -> int:
        return 1

    def odd() -> object:
        """Do."""
        return 1

    for function, why in ((silent, "docstring"), (odd, "no JSON Schema")):
        with pytest.raises(UsageError, match=why):
            build.agent()(function)

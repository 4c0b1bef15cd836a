"""The published schema and the reader are one table; these tests hold the schema to files and the files to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tenuto.adapters.plans.agent_keys import FRONT_MATTER
from tenuto.adapters.plans.plan_file import load_plan, read_plan
from tenuto.adapters.plans.plan_keys import PLAN, STEP
from tenuto.adapters.plans.reading import Shape
from tenuto.adapters.plans.schema import SCHEMAS, schema
from tenuto.adapters.plans.templates import init_files
from tenuto.adapters.plans.yaml_document import read_yaml
from tenuto.errors import InvalidPlanError, UsageError

SHIPPED = sorted((Path(__file__).parents[3] / "src" / "tenuto").rglob("*.plan.yaml"))


def validator() -> Any:
    return jsonschema_rs.validator_for(schema("plan"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name: str) -> None:
    jsonschema_rs.meta.validate(schema(name))
    assert schema(name)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_plans_we_ship_meet_it(path: Path) -> None:
    validator().validate(read_yaml(path.read_bytes(), path.name).value)


def test_every_key_stands_in_it_with_words_for_people() -> None:
    plan = schema("plan")
    assert set(plan["properties"]) == {field.name for field in PLAN.fields}
    steps = plan["properties"]["steps"]["additionalProperties"]["properties"]
    assert set(steps) == {field.name for field in STEP.fields}
    assert set(schema("agent")["properties"]) == {field.name for field in FRONT_MATTER.fields}
    assert all(part["description"] for part in steps.values())


def test_keys_of_later_versions_stand_nowhere() -> None:
    def check(shape: Shape) -> None:
        assert not {field.name for field in shape.fields} & set(shape.later)
        for field in shape.fields:
            if isinstance(field.kind, Shape):
                check(field.kind)

    check(PLAN)
    check(STEP)


WRONG = [
    "steps: { a: { } }",
    "steps: { a: { run: x, prompt: y } }",
    "steps: { a: { run: x, iff: y } }",
    "steps: { 1a: { run: x } }",
    "steps: { a: { run: x, timeout: 5 } }",
    "steps: { a: { run: x, timeout: 5x } }",
    "steps: { a: { run: x, needs: [1] } }",
    "steps: { a: { run: x, on_error: no } }",
    "steps: { a: { run: x, retry: { attempts: 0 } } }",
    "steps: { a: { run: x, budget: { usd: 1 } } }",
    "steps: { a: { run: x, grants: { network: x } } }",
    "steps: { a: { run: x } }\ntenuto: 2",
    "steps: { a: { run: x } }\nmodel: x",
    "steps: { a: { run: x } }\ndefaults: { model: gpt }",
    "steps: { a: { run: x } }\ninputs: { x: { type: int } }",
    "steps: { a: { run: x } }\nagents: { a: { name: x } }",
    "name: x",
]
RIGHT = [
    "steps: { a: { run: x } }",
    "steps: { a: { run: x, timeout: 1h30m, needs: [] } }",
    "steps: { a: { run: x }, b: { run: y, needs: a } }",
    "steps: { a: { run: x, merge: fail, output: { type: object } } }",
    "steps: { a: { run: x, foreach: [1], key: '${{ item }}' } }",
    "steps: { a: { run: x } }\nagents: { a: { tools: 'Read, Grep', capabilities: [x, { name: y }] } }",
    "steps: { a: { run: x } }\nbudget: { usd: '1.5', time: 5s }\ntools: ['python:x']\noutputs: { y: [1, null] }",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_the_schema_refuses_the_reader_refuses(text: str) -> None:
    assert not validator().is_valid(read_yaml(text.encode(), "p").value)
    with pytest.raises(InvalidPlanError):
        read_plan(text.encode(), Path("p.yaml"))


@pytest.mark.parametrize("text", RIGHT)
def test_what_the_reader_takes_the_schema_takes(text: str) -> None:
    validator().validate(read_yaml(text.encode(), "p").value)
    assert read_plan(text.encode(), Path("p.yaml")).plan.steps


def test_other_names_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean plan"):
        schema("plam")


def test_what_init_writes_is_a_plan(tmp_path: Path) -> None:
    for name, text in init_files("team").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    loaded = load_plan(tmp_path / "hello.plan.yaml")
    assert sorted(loaded.agents) == ["editor", "reviewer"]
    assert loaded.plan.defaults.model == "mock:"
    assert [type(step.work).__name__ for step in loaded.plan.steps] == ["PromptWork", "PromptWork"]
    assert loaded.plan.steps[0].foreach is not None
    assert loaded.places["steps.review.prompt"] == "prompts/review.md:1:1"

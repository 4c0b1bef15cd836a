"""Equal plans have equal bytes and one digest, however their values came to be."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tenuto.core.bodies import read_plan, write_body
from tenuto.core.budget import Limits
from tenuto.core.canonical import digest
from tenuto.core.normal import normal
from tenuto.core.plan import Defaults, Plan, PromptWork, Retry, Step


def fresh(text: str) -> str:
    """An equal string that is another object."""
    return "".join(list(text)) if len(text) > 1 else text


retries = st.builds(
    Retry,
    attempts=st.integers(1, 3),
    backoff_ms=st.sampled_from([1_000, 2_000]).map(lambda n: int(str(n))),
    tries=st.integers(1, 5),
)
steps = st.builds(
    Step,
    name=st.sampled_from(["a", "fix"]).map(fresh),
    work=st.builds(PromptWork, text=st.sampled_from(["", "Do it."]).map(fresh), source=st.sampled_from(["", "p.md"])),
    retry=st.none() | retries,
    max_tokens=st.none() | st.integers(1, 5_000),
)
plans = st.builds(
    Plan,
    name=st.sampled_from(["p", "plan"]).map(fresh),
    budget=st.builds(Limits, tokens=st.none() | st.integers(1, 10**6)),
    defaults=st.builds(Defaults, retry=retries, on_error=st.sampled_from(["fail", "continue"]).map(fresh)),
    steps=st.lists(steps, min_size=1, max_size=3).map(tuple),
)


@given(plans)
def test_a_plan_read_back_is_equal_and_has_one_digest(plan: Plan) -> None:
    again = read_plan(write_body(plan))
    assert again == plan
    assert write_body(again) == write_body(plan)
    assert plan.digest == again.digest == digest(write_body(plan))


@given(plans)
def test_normal_form_is_equal_and_final(plan: Plan) -> None:
    once = normal(plan)
    assert once == plan
    assert normal(once) is once


def test_what_equals_a_default_is_not_written() -> None:
    spelled_out = Plan(
        name="p",
        defaults=Defaults(retry=Retry(backoff_ms=int("1000"))),
        steps=(Step(name="a", work=PromptWork(text="t")),),
    )
    short = Plan(name="p", steps=(Step(name="a", work=PromptWork(text="t")),))
    assert write_body(spelled_out) == write_body(short)
    assert b"backoff" in msgspec.json.encode(spelled_out, order="sorted")

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.adapters.models.counting import request_bytes
from tenuto.adapters.models.draws import WORDS, Draw
from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.models.mock_options import MockOptions
from tenuto.adapters.models.patterns import matching
from tenuto.adapters.models.samples import sample
from tenuto.core.models import Message, ModelRequest
from tenuto.errors import ModelCallError, UsageError

DEADLINE_US = 10_000_000
CALM = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
READ = ("read", {"type": "object", "required": ["path"], "properties": {"path": {"type": "string", "minLength": 3}}})


FAILURES = {
    ("rate_limited", False, 1_000, True),
    ("server", True, None, True),
    ("timeout", True, None, True),
}


class RecordingClock:
    """Time that passes at once and remembers what was waited for."""

    def __init__(self) -> None:
        self.waited: list[int] = []

    def now_us(self) -> int:
        return sum(self.waited)

    def monotonic_us(self) -> int:
        return sum(self.waited)

    async def sleep(self, duration_us: int) -> None:
        self.waited.append(duration_us)


async def test_answers_depend_on_seed_and_fingerprint_only(ask: Any) -> None:
    first = await LocalMockAdapter(3).complete(ask("mock:", "hello"), deadline_us=DEADLINE_US)
    again = await LocalMockAdapter(3).complete(
        ask("mock:", "hello", call="other/x/4/9", try_number=5), deadline_us=DEADLINE_US
    )
    seeded = await LocalMockAdapter(4).complete(ask("mock:", "hello"), deadline_us=DEADLINE_US)
    asked = await LocalMockAdapter(3).complete(ask("mock:", "hello!"), deadline_us=DEADLINE_US)
    assert first == again
    assert len({first.text, seeded.text, asked.text}) == 3


async def test_an_answer_is_what_it_was_when_the_format_was_fixed(ask: Any) -> None:
    reply = await LocalMockAdapter().complete(ask("mock:?size=24", "hello"), deadline_us=DEADLINE_US)
    assert reply.text == "fire heat hold full cell"


async def test_echo_size_and_cut(ask: Any) -> None:
    model = LocalMockAdapter()
    echoed = await model.complete(ask("mock:echo", "a", "the last"), deadline_us=DEADLINE_US)
    sized = await model.complete(ask("mock:?size=2048", "x", max_tokens=4096), deadline_us=DEADLINE_US)
    cut = await model.complete(ask("mock:?size=2048", "x", max_tokens=10), deadline_us=DEADLINE_US)
    assert (echoed.text, echoed.finish) == ("the last", "stop")
    assert len(sized.text) == 2048
    assert (len(cut.text), cut.finish, cut.usage.output_tokens) == (40, "length", 10)


async def test_latency_is_waited_through_the_clock_and_the_deadline_holds(ask: Any) -> None:
    clock = RecordingClock()
    model = LocalMockAdapter(clock=clock)
    await model.complete(ask("mock:?latency_ms=5..50", "x"), deadline_us=DEADLINE_US)
    assert 5_000 <= clock.waited[0] <= 50_000
    with pytest.raises(ModelCallError, match="no answer within 2 ms") as caught:
        await model.complete(ask("mock:?latency_ms=5..50", "x"), deadline_us=2_000)
    assert (caught.value.kind, caught.value.sent, clock.waited[1]) == ("timeout", True, 2_000)


async def test_a_timing_seed_changes_latencies_and_not_answers(ask: Any) -> None:
    clocks = [RecordingClock(), RecordingClock()]
    options = MockOptions(latency_ms=(0, 10_000))
    replies = [
        await LocalMockAdapter(clock=clock, options=options, timing_seed=number).complete(
            ask("mock:", "x"), deadline_us=DEADLINE_US
        )
        for number, clock in enumerate(clocks)
    ]
    assert replies[0] == replies[1]
    assert clocks[0].waited != clocks[1].waited


async def test_failures_follow_the_try_number_and_have_every_kind(ask: Any) -> None:
    model = LocalMockAdapter()
    outcomes = [await _outcome(model, ask("mock:?fail=0.5", "x", try_number=number)) for number in range(1, 61)]
    assert set(outcomes) == {"ok", "rate_limited", "server", "timeout"}
    assert 15 < outcomes.count("ok") < 45


async def _outcome(model: LocalMockAdapter, request: ModelRequest) -> str:
    try:
        await model.complete(request, deadline_us=DEADLINE_US)
    except ModelCallError as error:
        facts = (error.kind, error.sent, error.retry_after_ms, error.retryable)
        return error.kind if facts in FAILURES else f"unexpected {facts}"
    return "ok"


async def test_tool_rounds_then_an_answer(ask: Any) -> None:
    model = LocalMockAdapter()
    messages: list[Message | str] = ["go"]
    rounds = 0
    while True:
        request: ModelRequest = ask("mock:?tools=2&calls=3", *messages, tools=(READ,))
        reply = await model.complete(request, deadline_us=DEADLINE_US)
        if not reply.tool_calls:
            break
        rounds += 1
        assert reply.finish == "tool_calls"
        assert len({call.id for call in reply.tool_calls}) == 3
        for call in reply.tool_calls:
            jsonschema_rs.validate(READ[1], json.loads(bytes(call.arguments)))
        messages.append(Message(role="assistant", tool_calls=reply.tool_calls))
    assert rounds == 2
    assert reply.text


@given(text=st.text(max_size=200), max_tokens=st.integers(1, 50), size=st.integers(0, 500))
@settings(max_examples=60, deadline=None, suppress_health_check=CALM)
async def test_usage_never_passes_the_bound_of_a_hold(ask: Any, text: str, max_tokens: int, size: int) -> None:
    model = LocalMockAdapter()
    name = f"mock:?size={size}&tools=1"
    for request in (
        ask(name, text, max_tokens=max_tokens),
        ask(name, text, max_tokens=max_tokens, tools=(READ,)),
        ask(name, text, max_tokens=max_tokens, schema=READ[1]),
    ):
        usage = (await model.complete(request, deadline_us=DEADLINE_US)).usage
        assert 0 < usage.input_tokens <= request_bytes(request) + model.profile(name).input_overhead_tokens
        assert 0 < usage.output_tokens <= max_tokens


def test_the_profile_is_exact_and_carries_the_price_of_the_name() -> None:
    profile = LocalMockAdapter().profile("mock:x?input_micros=250000&output_micros=2000000")
    assert (profile.grade, profile.verified) == ("exact", True)
    assert profile.price is not None
    assert (profile.price.input_micros, profile.price.output_micros) == (250_000, 2_000_000)


@pytest.mark.parametrize(
    "query",
    [
        "size",
        "sise=3",
        "size=3..2",
        "size=x",
        "fail=2",
        "fail=nan",
        "kinds=flood",
        "size=1&size=2",
        "calls=0",
        "tools=99999",
        "latency_ms=99999999999",
    ],
)
async def test_bad_options_are_named(ask: Any, query: str) -> None:
    with pytest.raises(UsageError) as caught:
        LocalMockAdapter().profile(f"mock:?{query}")
    assert str(caught.value).startswith(f"model mock:?{query}: ")
    assert caught.value.fix
    with pytest.raises(ModelCallError) as refused:
        await LocalMockAdapter().complete(ask(f"mock:?{query}", "x"), deadline_us=DEADLINE_US)
    assert (refused.value.kind, refused.value.sent) == ("bad_request", False)


async def test_a_schema_that_nothing_meets_is_refused(ask: Any) -> None:
    request = ask("mock:", "x", schema={"type": "string", "minLength": 5, "maxLength": 2})
    with pytest.raises(ModelCallError, match="the mock cannot use the output schema") as caught:
        await LocalMockAdapter().complete(request, deadline_us=DEADLINE_US)
    assert not caught.value.retryable


NAMES = st.sampled_from(["a", "b", "name", "größe", "x-y"])


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, take, closed: {
            "type": "object",
            "properties": properties,
            "required": [n for n, keep in zip(properties, take, strict=False) if keep],
            "additionalProperties": not closed,
        },
        st.dictionaries(NAMES, children, max_size=4),
        st.lists(st.booleans(), min_size=4, max_size=4),
        st.booleans(),
    )


def _arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        children,
        st.integers(0, 3),
        st.integers(0, 3),
    )


SMALL = st.integers(-9, 9)
COUNT = st.integers(0, 9)
MEMBERS = st.lists(
    st.one_of(st.integers(-3, 3), st.text(max_size=4), st.none()), min_size=1, max_size=4, unique_by=repr
)
LEAVES = st.one_of(
    st.just({"type": "null"}),
    st.just({"type": "boolean"}),
    st.just({}),
    st.just(True),
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, SMALL, COUNT),
    st.builds(lambda low, by: {"type": "integer", "exclusiveMinimum": low, "multipleOf": by + 1}, SMALL, COUNT),
    SMALL.map(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 0.5}),
    st.builds(lambda low, more: {"type": "string", "minLength": 4 * low, "maxLength": 4 * low + more}, COUNT, COUNT),
    st.sampled_from(["^[a-z]{3}-\\d+$", "(foo|bar)+", "^v\\d+\\.\\d+$", "^[^x]{5,}$", "\\w+@\\w+\\.com"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
    st.sampled_from(["date-time", "email", "uuid", "uri"]).map(lambda name: {"type": "string", "format": name}),
    st.lists(
        st.one_of(st.integers(-3, 3), st.text(max_size=4), st.none()), min_size=1, max_size=4, unique_by=repr
    ).map(lambda members: {"enum": members}),
    st.integers(-5, 5).map(lambda value: {"const": value}),
    st.just({"type": ["string", "null"]}),
    st.just({"$ref": "#/$defs/point"}),
    st.just({"$ref": "#/$defs/tree"}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        _objects(children),
        _arrays(children),
        st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        children.map(lambda part: {"allOf": [part, {"description": "more"}]}),
        st.just({"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}),
    ),
    max_leaves=8,
)
DEFINITIONS = {
    "point": {
        "type": "object",
        "required": ["x", "y"],
        "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    },
    "tree": {
        "type": "object",
        "required": ["children"],
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    },
}


@given(schema=SCHEMAS, seed=st.integers(0, 1 << 30))
@settings(max_examples=200, deadline=None, suppress_health_check=CALM)
async def test_json_is_valid_for_any_schema(ask: Any, schema: Any, seed: int) -> None:
    whole = {"type": "object", "required": ["value"], "properties": {"value": schema}, "$defs": DEFINITIONS}
    reply = await LocalMockAdapter(seed).complete(ask("mock:", "x", schema=whole), deadline_us=DEADLINE_US)
    jsonschema_rs.validate(whole, json.loads(reply.text))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
        {"type": "array", "contains": {"const": "x"}, "items": {"type": "string"}, "minContains": 2},
        {"type": "object", "minProperties": 3},
        {"type": "object", "propertyNames": {"pattern": "^k[0-9]$"}, "minProperties": 2},
        {"type": "object", "patternProperties": {"^n_": {"type": "integer"}}, "required": ["n_a"]},
        {
            "allOf": [
                {"properties": {"a": {"type": "number"}}},
                {"required": ["a"], "properties": {"a": {"minimum": 5}}},
            ]
        },
        {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$", "minLength": 6},
        {"type": "string", "pattern": "^a+$", "minLength": 30},
        {"type": "number", "multipleOf": 0.25, "minimum": 1.1, "maximum": 1.3},
        {"not": {"type": "integer"}, "type": ["integer", "string"]},
        {"enum": [1, "b"], "type": "string"},
        {
            "if": {"properties": {"k": {"const": 1}}},
            "then": {"required": ["v"]},
            "properties": {"k": {"enum": [1, 2]}},
        },
        {"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 3}]},
        {"$ref": "#/definitions/a", "definitions": {"a": {"type": "integer", "maximum": -1}}},
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "required": ["next"],
                    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                }
            },
        },
        {
            "type": "object",
            "patternProperties": {"^x-": {"type": "string"}, "-id$": {"type": "string", "minLength": 3}},
            "additionalProperties": False,
            "minProperties": 4,
        },
        {"$defs": {"x": {"$anchor": "here", "type": "integer"}}, "$ref": "#here"},
        {"$defs": {"a/b~c d": {"type": "integer"}}, "$ref": "#/$defs/a~1b~0c%20d"},
        {
            "$defs": {**{f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(60)}, "d60": {"const": 1}},
            "$ref": "#/$defs/d0",
        },
        {
            "type": "object",
            "properties": {"a": {"const": 1}},
            "required": ["a"],
            "dependentSchemas": {"a": {"required": ["z"], "properties": {"z": {"type": "boolean"}}}},
        },
        {
            "type": ["object", "null"],
            "properties": {"me": {"$ref": "#"}, "n": {"type": "string"}},
            "required": ["me"],
        },
        {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": k}, "v": {"type": t}}, "required": ["kind", "v"]}
                for k, t in (("a", "string"), ("b", "integer"), ("c", "boolean"))
            ]
        },
    ],
)
def test_harder_schemas(schema: Any) -> None:
    for seed in range(20):
        jsonschema_rs.validate(schema, sample(schema, Draw(str(seed))))


def nested(levels: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {f"p{n}": {"type": "string"} for n in range(5_000)},
            "additionalProperties": False,
        },
        {"enum": list(range(100_000))},
        {"type": "array", "items": {"type": "integer"}, "minItems": 20_000},
        {"type": "string", "minLength": 100_000},
        nested(120),
    ],
    ids=["properties", "members", "items", "characters", "levels"],
)
def test_huge_schemas(schema: Any) -> None:
    jsonschema_rs.validate(schema, sample(schema, Draw("0")))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"$ref": "#nowhere"},
        {"type": "nonsense"},
        {"$ref": "https://example.com/x"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
def test_hopeless_schemas_are_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"[sS]chema"):
        sample(schema, Draw("0"))


@pytest.mark.parametrize("pattern", ["(?=a)b", "a(b", "[z-a]", "*a", "\\1", "a)", "a{5000}"])
def test_patterns_that_are_not_understood_say_so(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|understood|repeat|closed|ends|backwards|unbalanced"):
        matching(pattern, Draw("0"))


def test_one_byte_names_one_word() -> None:
    assert len(set(WORDS)) == 256

"""Generated plans of the whole language, each valid, with the agents that it names.

Needs `hypothesis`. For properties such as "what is written reads back", over plans nobody would think of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.budget import Limits
from tenuto.core.canonical import canonical
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import (
    ApprovalWork,
    Defaults,
    InputSpec,
    Plan,
    PlanWork,
    PromptWork,
    RunWork,
    Step,
    UsesWork,
    WaitWork,
    Work,
)
from tenuto.core.policies import OnError, Repeat, Retry
from tenuto.core.repetition import Repeatable
from tenuto.core.tools import Grants
from tenuto.testing.plan_values import json_values, maybe, names, raw_values, texts

__all__ = ["agents", "plans"]

_BUILTIN = ("read_file", "search_files", "glob", "edit_file", "write_file", "apply_patch", "run")
_AMOUNTS = st.one_of(st.integers(0, 10), st.integers(0, 10**15))
_COUNTS = st.one_of(st.integers(1, 5), st.integers(1, 10**15))
_DURATIONS = st.one_of(st.integers(1, 5_000), st.sampled_from((60_000, 3_600_000, 86_400_000, 5_400_001)))
_MODELS = st.sampled_from(("mock:", "mock:x?latency_ms=1..30", "openai:gpt-5-mini", "local:", "replay:run-1"))
_GLOBS = st.lists(st.sampled_from(("*.py", "src/**", "!docs", "a b.txt", ".venv/", "é/*")), max_size=2).map(tuple)
_TOOLS = st.lists(st.sampled_from(_BUILTIN), max_size=3, unique=True).map(tuple)
_ON_ERROR: st.SearchStrategy[OnError] = st.sampled_from(("fail", "continue", "skip"))
_WORDS = st.lists(texts, max_size=2).map(tuple)
_LINES = texts.filter(lambda text: bool(text.strip()))
_SCHEMAS = st.sampled_from(
    (
        {"type": "string", "maxLength": 40},
        {"type": "object", "properties": {"yes": {"type": ["null", "number"]}}, "required": ["yes"]},
        {"enum": [None, True, 1, 1.5, "1", "no"], "description": "line\n\nline\n"},
        {"$defs": {"a b": {"const": "${x}"}}, "$ref": "#/$defs/a b"},
    )
).map(lambda schema: msgspec.Raw(canonical(schema)))
_RETRIES = st.builds(Retry, attempts=_COUNTS, backoff_ms=st.integers(0, 100_000), tries=st.integers(1, 9))
_GRANTS = st.builds(Grants, env=_WORDS, network=st.booleans(), read=_WORDS, secrets=_WORDS, write=_WORDS)

_REPEATABLE = st.sampled_from((Repeatable(), Repeatable(on=False), Repeatable(clock="2030-02-28T23:59:59Z")))


def _limits(**more: Any) -> st.SearchStrategy[Limits]:
    kinds = ("input_tokens", "iterations", "model_calls", "output_tokens", "tokens", "tool_calls")
    amounts: dict[str, Any] = {name: maybe(_AMOUNTS) for name in kinds}
    return st.builds(Limits, usd_micros=maybe(st.integers(0, 10**15 - 1)), **amounts, **more)


_CAPABILITIES = st.builds(Capability, name=names, input_schema=maybe(_SCHEMAS), output_schema=maybe(_SCHEMAS))


def agents() -> st.SearchStrategy[dict[str, AgentSpec]]:
    """A few agents by name."""
    spec = st.builds(
        AgentSpec,
        name=names,
        approve=_TOOLS,
        at_once=maybe(_COUNTS),
        capabilities=st.lists(_CAPABILITIES, max_size=2).map(tuple),
        description=texts,
        fallbacks=st.lists(names, max_size=2).map(tuple),
        instructions=texts,
        iterations_max=st.integers(1, 30),
        limits=_limits(),
        max_tokens=maybe(_COUNTS),
        model=maybe(_MODELS),
        on_error=maybe(_ON_ERROR),
        retry=maybe(_RETRIES),
        role=texts,
        timeout_ms=maybe(_DURATIONS),
        tools=_TOOLS,
        version=texts,
    )
    return st.lists(spec, max_size=3).map(lambda found: {agent.name: agent for agent in found})


_FITTING: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "integer": st.integers(-(10**20), 10**20),
    "number": st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    "boolean": st.booleans(),
    "array": st.lists(json_values, max_size=3),
    "object": st.dictionaries(texts, json_values, max_size=3),
}


@st.composite
def _inputs(draw: st.DrawFn) -> dict[str, InputSpec]:
    found: dict[str, InputSpec] = {}
    for name in draw(st.lists(names, max_size=3, unique=True)):
        kind: Any = draw(st.sampled_from(sorted(_FITTING)))
        default = msgspec.Raw(canonical(draw(_FITTING[kind])))
        found[name] = InputSpec(default=default, description=draw(texts), type=kind)
    return found


@st.composite
def _templates(draw: st.DrawFn, roots: Sequence[str]) -> str:
    """A text with expressions over these paths, or one that is an expression alone."""
    if not roots:
        return draw(_LINES)
    root = draw(st.sampled_from(list(roots)))
    inside = draw(st.sampled_from((root, f"size(string({root})) > 3 ? 'a: b' : \"#\"", f"[{root}, 1.5]")))
    if draw(st.booleans()):
        return f"${{{{ {inside} }}}}"
    return f"{draw(texts)}${{{{ {inside} }}}}{draw(texts)}"


def _values(roots: Sequence[str]) -> st.SearchStrategy[dict[str, msgspec.Raw]]:
    templated = _templates(roots).map(lambda text: msgspec.Raw(canonical({"deep": [text]})))
    return st.dictionaries(names, st.one_of(raw_values, templated), max_size=2)


@st.composite
def _works(draw: st.DrawFn, roots: Sequence[str], team: Sequence[str], depth: int) -> Work:
    kinds = ["prompt", "prompt", "run", "uses", "approval", "wait", "produced", *(["plan"] if depth else [])]
    match draw(st.sampled_from(kinds)):
        case "prompt":
            agent = draw(maybe(st.sampled_from(list(team)))) if team else None
            return PromptWork(agent=agent, text=draw(_templates(roots)))
        case "run":
            return RunWork(command=draw(_templates(roots)))
        case "uses":
            return UsesWork(target="python:team.steps:write")
        case "approval":
            return ApprovalWork(ask=draw(_templates(roots)), expires_ms=draw(maybe(_DURATIONS)))
        case "wait":
            return WaitWork(duration=draw(st.sampled_from(("30s", "1h30m", "0s", "${{ 1 }}s"))))
        case "plan":
            return PlanWork(plan=draw(_plan(team, depth - 1)))
        case _:
            return PlanWork(text=f"${{{{ {draw(st.sampled_from(list(roots) or ['1']))} }}}}")


def _only(work: Work, kinds: type | tuple[type, ...], strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return strategy if isinstance(work, kinds) else st.none()


@st.composite
def _step(
    draw: st.DrawFn, name: str, before: Sequence[str], inputs: Sequence[str], team: Sequence[str], depth: int
) -> Step:
    needs = tuple(draw(st.lists(st.sampled_from(list(before)), max_size=3, unique=True))) if before else ()
    early = [*(f"steps.{need}.output" for need in needs), *(f'inputs["{given}"]' for given in inputs)]
    looped = draw(maybe(st.sampled_from(("list", "expression") if early else ("list",))))
    items: Any = None if looped is None else draw(st.lists(json_values, min_size=1, max_size=3))
    if looped == "expression":
        items = f"${{{{ {draw(st.sampled_from(early))} }}}}"
    repeat = draw(
        maybe(st.builds(Repeat, max=_COUNTS, until=maybe(st.just("iteration > 2 || last.status == 'a: b'"))))
    )
    inside = [*early, *(["item"] if looped else []), *(["iteration"] if repeat else [])]
    work = draw(_works(inside, team, depth))
    values = draw(_values(inside))
    if isinstance(work, PlanWork) and work.plan is not None:
        known = [given for given in work.plan.inputs if draw(st.booleans())]
        values = {given: draw(raw_values) for given in known}
    merges = [MergePolicy(), *(MergePolicy(kind="prefer", prefer=need) for need in needs)]
    merges += [MergePolicy(kind="agent", agent=agent) for agent in team]
    fallback = st.lists(st.sampled_from(list(team)), max_size=2).map(tuple) if team else st.just(())
    granted = draw(st.one_of(st.just(Grants()), _GRANTS))
    return Step(
        budget=draw(maybe(_limits())),
        condition=draw(
            maybe(st.sampled_from(("true", "1 < 2", "${{ 'a: #b' != \"c\" }}", *(f"{e} == 1" for e in early))))
        ),
        effect=draw(_only(work, RunWork, maybe(st.sampled_from(("read", "workspace", "idempotent", "once"))))),
        fallback=draw(fallback) if isinstance(work, PromptWork) else (),
        foreach=None if looped is None else msgspec.Raw(canonical(items)),
        grants=granted,
        keep=draw(_GLOBS),
        key=draw(maybe(st.just("${{ item }}-k"))) if looped else None,
        max_parallel=draw(maybe(_COUNTS)) if looped else None,
        max_tokens=draw(_only(work, PromptWork, maybe(_COUNTS))),
        merge=draw(st.sampled_from(merges)),
        model=draw(_only(work, PromptWork, maybe(_MODELS))),
        name=name,
        needs=needs,
        on_error=draw(maybe(_ON_ERROR)),
        output=draw(_only(work, (PromptWork, RunWork), maybe(_SCHEMAS))),
        reads=draw(_GLOBS),
        repeat=repeat,
        repeatable=draw(_only(work, (PromptWork, RunWork, UsesWork), maybe(_REPEATABLE)))
        if not granted.network
        else None,
        retry=draw(_only(work, (PromptWork, RunWork, UsesWork), maybe(_RETRIES))),
        timeout_ms=draw(maybe(_DURATIONS)),
        tools=draw(_only(work, (PromptWork, PlanWork), maybe(_TOOLS))),
        values=values,
        work=work,
    )


@st.composite
def _plan(draw: st.DrawFn, team: Sequence[str], depth: int) -> Plan:
    inputs = draw(_inputs())
    found: list[Step] = []
    for name in draw(st.lists(names, min_size=1, max_size=4 if depth else 2, unique=True)):
        found.append(draw(_step(name, [step.name for step in found], list(inputs), team, depth)))
    ends = [f"steps.{step.name}.output" for step in found]
    return Plan(
        budget=draw(_limits(time_ms=maybe(_DURATIONS))),
        defaults=draw(
            st.builds(
                Defaults,
                max_tokens=maybe(_COUNTS),
                model=maybe(_MODELS),
                on_error=_ON_ERROR,
                repeatable=maybe(_REPEATABLE),
                retry=_RETRIES,
                timeout_ms=maybe(_DURATIONS),
            )
        ),
        description=draw(texts),
        inputs=inputs,
        merge=draw(st.sampled_from((MergePolicy(), *(MergePolicy(kind="prefer", prefer=s.name) for s in found)))),
        name=draw(st.one_of(names, st.sampled_from(("a: b", "1.0", "a plan", "'", "#")))),
        outputs=draw(_values(ends)),
        steps=tuple(found),
        tools=draw(st.sampled_from(((), ("python:team_tools",)))),
    )


@st.composite
def plans(draw: st.DrawFn, *, depth: int = 1) -> tuple[Plan, dict[str, AgentSpec]]:
    """A plan that names no files, and its agents; `depth` levels of sub-plans at most.

    It is valid wherever its tools and secrets are not checked, and its text can be written.
    """
    team = draw(agents())
    return draw(_plan(list(team), depth)), team

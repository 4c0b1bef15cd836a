"""What a run is made of, fixed when it starts: plan, registry and lock, compiled for the kernel.

A `RunSpec` is no state: it never changes during a run and is built again from the three stored bodies whenever a
journal is opened. Everything in it is a pure function of those bodies; steps are compiled when first needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from msgspec.structs import replace

from tenuto.core.agent_work import AgentWork, make_agent_work
from tenuto.core.bodies import read_plan
from tenuto.core.budget import NOTHING, Amount, Limits
from tenuto.core.canonical import digest, parse
from tenuto.core.content import Content
from tenuto.core.events.program import AskAgent, AskModel
from tenuto.core.expressions import Template, parse_condition, parse_text, parse_value
from tenuto.core.ids import Digest
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.plan import (
    ApprovalWork,
    Defaults,
    Lock,
    OnError,
    Plan,
    PlanWork,
    PromptWork,
    Registry,
    Retry,
    RunWork,
    Step,
    UsesWork,
    WaitWork,
)
from tenuto.core.repetition import Repeatable
from tenuto.core.reuse_table import NOTHING_REUSABLE, ReuseTable
from tenuto.core.shares import ask_cap, divided, item_cap, limited_dimensions, step_cap
from tenuto.core.tools import Effect

__all__ = ["RunSpec", "StepSpec"]


class _Static(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the static part of a step key is the hash of."""

    agent: Digest | None
    code: Digest | None
    model: str | None
    step: Step
    tools: dict[str, str]


_encode = msgspec.json.Encoder(order="sorted").encode


class StepSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step of the plan, compiled.

    `fallbacks` are the agents that take over from `agent`. `judges` are the needs of which the step's own condition
    reads how they ended: these do not skip it.
    """

    agent: AgentWork | None
    ask: Template | None
    command: Template | None
    condition: Template | None
    duration: Template | None
    effect: Effect
    fallbacks: tuple[AgentWork, ...]
    foreach: Template | None
    index: int
    judges: frozenset[str]
    key: Template | None
    on_error: OnError
    output: Template | None
    output_fixed: msgspec.Raw | None
    produced: Template | None
    prompt: Template | None
    repeatable: Repeatable | None
    retry: Retry
    step: Step
    target: str
    timeout_ms: int | None
    until: Template | None
    values: Template | None

    @property
    def prompt_version(self) -> Digest | None:
        """The hash of the prompt's template and its name."""
        work = self.step.work
        return digest(f"{work.source}\0{work.text}".encode()) if isinstance(work, PromptWork) else None


@dataclass(frozen=True, eq=False)
class RunSpec:
    plan: Plan
    registry: Registry
    lock: Lock
    logic: int = LOGIC_VERSION
    """The version of the kernel's decisions that the run follows."""
    reuse: ReuseTable = NOTHING_REUSABLE
    """What a fork takes over; looked at in the run's own spec only, never in that of a sub-plan."""
    works: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What each step does, kept for `core.work`, which alone reads and fills it."""
    _steps: dict[str, StepSpec] = field(default_factory=dict[str, StepSpec], repr=False)
    _statics: dict[tuple[str, int], Digest] = field(default_factory=dict[tuple[str, int], Digest], repr=False)
    _agents: dict[Any, AgentWork] = field(default_factory=dict[Any, AgentWork], repr=False)
    _inner: dict[Any, RunSpec] = field(default_factory=dict[Any, "RunSpec"], repr=False)

    @cached_property
    def index(self) -> dict[str, int]:
        """Step name -> place in plan order."""
        return {step.name: i for i, step in enumerate(self.plan.steps)}

    @cached_property
    def dependents(self) -> tuple[tuple[int, ...], ...]:
        """For each step the steps that need it, in plan order."""
        found: list[list[int]] = [[] for _ in self.plan.steps]
        for i, step in enumerate(self.plan.steps):
            for need in dict.fromkeys(step.needs):
                found[self.index[need]].append(i)
        return tuple(map(tuple, found))

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """For each step the set of its plan ancestors, as bits."""
        sets = [-1] * len(self.plan.steps)
        for start in range(len(sets)):
            stack = [start]
            while stack:
                i = stack[-1]
                needs = [self.index[n] for n in self.plan.steps[i].needs]
                open_needs = [n for n in needs if sets[n] < 0]
                if open_needs:
                    stack.extend(open_needs)
                    continue
                bits = 0
                for n in needs:
                    bits |= sets[n] | (1 << n)
                sets[i] = bits
                stack.pop()
        return tuple(sets)

    @cached_property
    def needed_before(self) -> tuple[int, ...]:
        """For each step the ancestors of all steps that stand before it, as bits."""
        found: list[int] = []
        bits = 0
        for ancestors in self.ancestors:
            found.append(bits)
            bits |= ancestors
        return tuple(found)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The steps that no other needs, in plan order."""
        return tuple(i for i, after in enumerate(self.dependents) if not after)

    @cached_property
    def outputs(self) -> Template | None:
        """The plan's outputs as one template."""
        if not self.plan.outputs:
            return None
        return parse_value({name: parse(raw) for name, raw in self.plan.outputs.items()})

    def step(self, name: str) -> StepSpec:
        """The compiled step of that name. KeyError when the plan has none."""
        found = self._steps.get(name)
        if found is None:
            found = self._steps[name] = self._compile(self.plan.steps[self.index[name]])
        return found

    def static(self, name: str, route: int = 0) -> Digest:
        """The part of a step's key that does not depend on the run; `route` counts the agents that have failed."""
        found = self._statics.get((name, route))
        if found is None:
            compiled = self.step(name)
            agent = compiled.fallbacks[route - 1] if route else compiled.agent
            found = self._statics[name, route] = self._static(compiled.step, agent)
        return found

    def inner(self, name: str, produced: Content | None = None) -> RunSpec:
        """The sub-plan of a step, compiled: the one of its file, or the one that was produced for it.

        What its defaults leave open is as in this plan.
        """
        memo = (name, None if produced is None else produced.digest)
        found = self._inner.get(memo)
        if found is None:
            work = self.plan.steps[self.index[name]].work
            plan = work.plan if isinstance(work, PlanWork) else None
            if produced is not None:
                plan = read_plan(produced.data)
            if plan is None:
                raise AssertionError(f"{name} has no sub-plan yet")
            plan = replace(plan, defaults=_nearest(plan.defaults, self.plan.defaults))
            prefix = f"{name}/"
            code = {n.removeprefix(prefix): c for n, c in self.lock.code.items() if n.startswith(prefix)}
            modules = {n.removeprefix(prefix): m for n, m in self.lock.modules.items() if n.startswith(prefix)}
            lock = replace(self.lock, code=code, modules=modules, places={})
            found = self._inner[memo] = RunSpec(plan, self.registry, lock, self.logic)
        return found

    def _compile(self, step: Step) -> StepSpec:
        work, defaults, agent, named = step.work, self.plan.defaults, None, None
        if isinstance(work, PromptWork):
            named = self.registry.agents.get(work.agent) if work.agent else None
            agent = self._step_agent(step, work.agent)
        takeovers = step.fallback or (named.fallbacks if named else ())
        output = None if step.output is None else parse_value(parse(step.output))
        condition = None if step.condition is None else parse_condition(step.condition)
        timeouts = (step.timeout_ms, named.timeout_ms if named else None, defaults.timeout_ms)
        return StepSpec(
            agent=agent,
            ask=parse_text(work.ask) if isinstance(work, ApprovalWork) else None,
            command=parse_text(work.command) if isinstance(work, RunWork) else None,
            condition=condition,
            duration=parse_text(work.duration) if isinstance(work, WaitWork) else None,
            effect=step.effect or ("workspace" if step.grants.nothing else "once"),
            fallbacks=tuple(self._step_agents(step, takeovers)),
            foreach=None if step.foreach is None else parse_value(parse(step.foreach)),
            index=self.index[step.name],
            judges=frozenset() if condition is None else _judged(condition) & frozenset(step.needs),
            key=None if step.key is None else parse_text(step.key),
            on_error=step.on_error or (named.on_error if named else None) or defaults.on_error,
            output=output,
            output_fixed=step.output if output is not None and output.constant else None,
            produced=parse_value(work.text) if isinstance(work, PlanWork) and work.plan is None else None,
            prompt=parse_text(work.text) if isinstance(work, PromptWork) else None,
            repeatable=_repeatable(step, defaults),
            retry=step.retry or (named.retry if named else None) or defaults.retry,
            step=step,
            target=work.target if isinstance(work, UsesWork) else "",
            timeout_ms=next((timeout for timeout in timeouts if timeout is not None), None),
            until=None if step.repeat is None or step.repeat.until is None else parse_condition(step.repeat.until),
            values=parse_value({k: parse(v) for k, v in step.values.items()}) if step.values else None,
        )

    def _static(self, step: Step, agent: AgentWork | None) -> Digest:
        static = _Static(
            agent=agent.agent_digest if agent else None,
            code=self.lock.code.get(step.name),
            model=agent.model if agent else None,
            step=_as_repeated(step, self.plan.defaults),
            tools={n: self._tool_version(n) for n in agent.tool_digests} if agent and agent.tools else {},
        )
        return digest(_encode(static))

    def _step_agent(self, step: Step, name: str | None) -> AgentWork:
        return self.agent_work(name, model=step.model, max_tokens=step.max_tokens, tools=step.tools)

    def _step_agents(self, step: Step, names: tuple[str, ...]) -> Iterator[AgentWork]:
        """The agents that take over: with their own models, since the step's is that of its first agent."""
        for name in names:
            yield self.agent_work(name, max_tokens=step.max_tokens, tools=step.tools)

    def _tool_version(self, name: str) -> str:
        spec = self.registry.tools.get(name)
        return spec.version if spec else ""

    def agent_work(
        self,
        name: str | None,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        tools: tuple[str, ...] | None = None,
    ) -> AgentWork:
        """What calls of this agent are made of. `tools` narrows what it may use; None = all of its own.

        KeyError when the registry has no such agent.
        """
        memo = (name, model, max_tokens, tools)
        found = self._agents.get(memo)
        if found is None:
            found = self._agents[memo] = make_agent_work(
                self.registry, self.lock, self.plan.defaults, name, model=model, max_tokens=max_tokens, tools=tools
            )
        return found

    def asked_agent(self, ask: AskAgent) -> AgentWork:
        """What the calls of a child step are made of."""
        return self.agent_work(ask.agent)

    def asked_model(self, ask: AskModel) -> AgentWork:
        """What a single model call of a program is made of."""
        return self.agent_work(ask.agent, model=ask.model, max_tokens=ask.max_tokens, tools=())

    @cached_property
    def shares(self) -> tuple[Amount, ...]:
        """The account of each step of a run of this plan, by the plan alone."""
        return self.divided({d: getattr(self.plan.budget, d) for d in self.limited})

    def divided(self, limits: Mapping[str, int | None]) -> tuple[Amount, ...]:
        """The account of each step where the whole has these limits (`core.shares`)."""
        return divided(self.plan, self.registry, limits, self.logic)

    @cached_property
    def rest(self) -> Amount:
        """What of the run's budget belongs to no step at the start."""
        rest: dict[str, int] = {}
        for dimension in self.plan.budget.limited:
            rest[dimension] = getattr(self.plan.budget, dimension) - sum(getattr(s, dimension) for s in self.shares)
        return Amount(**rest) if rest else NOTHING

    def cap(self, index: int, dimension: str) -> int:
        """What a step with all its items may have at most, whatever others leave over."""
        return step_cap(self.plan.steps[index], self.registry, dimension, self.logic)

    def item_cap(self, index: int, dimension: str) -> int:
        """What each item of a step's `foreach` may have at most."""
        return item_cap(self.plan.steps[index], self.registry, dimension, self.logic)

    def ask_cap(self, ask: AskAgent, dimension: str) -> int:
        """What an asked agent may have at most."""
        return ask_cap(ask, self.registry, dimension)

    def forked(self, budget: Limits, reuse: ReuseTable) -> RunSpec:
        """The same for a fork: its limits are what it was granted, whatever the plan says."""
        return RunSpec(replace(self.plan, budget=budget), self.registry, self.lock, self.logic, reuse)

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """The dimensions that accounts keep, in the order of `DIMENSIONS`."""
        return limited_dimensions(self.plan, self.registry)

    def place(self, part: str) -> str:
        """Where a part of the plan was written, or an empty string."""
        return self.lock.places.get(part, "")


def _nearest(own: Defaults, outer: Defaults) -> Defaults:
    """A sub-plan's defaults, and those of the plan around it where it says nothing."""
    return replace(
        own,
        max_tokens=own.max_tokens or outer.max_tokens,
        model=own.model or outer.model,
        repeatable=own.repeatable or outer.repeatable,
        timeout_ms=own.timeout_ms if own.timeout_ms is not None else outer.timeout_ms,
    )


def _repeatable(step: Step, defaults: Defaults) -> Repeatable | None:
    """How the commands of a step are repeatable: as it says itself, or as its plan does."""
    if not isinstance(step.work, (PromptWork, RunWork, UsesWork)):
        return None
    if step.repeatable is None and step.grants.network:
        return None  # what comes over a network is not repeatable: the defaults cannot mean this step
    found = step.repeatable or defaults.repeatable
    return found if found is not None and found.on else None


def _as_repeated(step: Step, defaults: Defaults) -> Step:
    """The step with what the plan's defaults say of its commands: its key depends on that."""
    found = _repeatable(step, defaults)
    return step if found is None else replace(step, repeatable=found)


def _judged(condition: Template) -> frozenset[str]:
    """The steps of which a condition reads how they ended."""
    return frozenset(
        r.step for r in condition.references if r.step is not None and r.parts[1:2] in (("status",), ("error",))
    )

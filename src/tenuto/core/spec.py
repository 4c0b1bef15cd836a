"""What a run is made of, fixed when it starts: plan, registry and lock, compiled for the kernel.

A `RunSpec` is no state: it never changes during a run and is built again from the three stored bodies whenever a
journal is opened. Everything in it is a pure function of those bodies; steps are compiled when first needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from tenuto.core.agents import AgentSpec
from tenuto.core.budget import DIMENSIONS, NOTHING, Amount, Limits
from tenuto.core.canonical import digest, parse
from tenuto.core.events.program import AskAgent, AskModel
from tenuto.core.expressions import Template, parse_text, parse_value
from tenuto.core.ids import Digest
from tenuto.core.models import ModelProfile, ToolSchema
from tenuto.core.plan import Lock, OnError, Plan, PromptWork, Registry, Retry, RunWork, Step, UsesWork
from tenuto.core.tools import Effect

__all__ = ["MODEL_DEFAULT", "AgentWork", "RunSpec", "StepSpec"]

MODEL_DEFAULT = "mock:"
"""The model of an agent for which nobody names one."""
PLENTY = 2**53 - 1
"""Granted where a dimension has no limit."""
_NO_TOOLS: dict[str, Digest] = {}


class _Static(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the static part of a step key is the hash of."""

    agent: Digest | None
    code: Digest | None
    model: str | None
    step: Step
    tools: dict[str, str]


_encode = msgspec.json.Encoder(order="sorted").encode


class AgentWork(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one model call of an agent is made of, apart from the conversation."""

    agent: str | None
    agent_digest: Digest | None
    at_once: int | None
    iterations_max: int
    max_tokens: int
    model: str
    overhead_tokens: int
    profile: ModelProfile
    system: str
    tool_digests: dict[str, Digest]
    tools: tuple[ToolSchema, ...]
    tools_length: int


class StepSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step of the plan, compiled. `static` is the part of its step key that does not depend on the run."""

    agent: AgentWork | None
    command: Template | None
    effect: Effect
    foreach: Template | None
    index: int
    key: Template | None
    on_error: OnError
    output: Template | None
    output_fixed: msgspec.Raw | None
    prompt: Template | None
    prompt_version: Digest | None
    retry: Retry
    static: Digest
    step: Step
    target: str
    timeout_ms: int | None
    values: Template | None


@dataclass(frozen=True, eq=False)
class RunSpec:
    plan: Plan
    registry: Registry
    lock: Lock
    works: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What each step does, kept for `core.work`, which alone reads and fills it."""
    _steps: dict[str, StepSpec] = field(default_factory=dict[str, StepSpec], repr=False)
    _agents: dict[Any, AgentWork] = field(default_factory=dict[Any, AgentWork], repr=False)

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

    def _compile(self, step: Step) -> StepSpec:
        work, defaults, agent, prompt_version = step.work, self.plan.defaults, None, None
        if isinstance(work, PromptWork):
            agent = self.agent_work(work.agent, model=step.model, max_tokens=step.max_tokens)
            prompt_version = digest(f"{work.source}\0{work.text}".encode())
        output = None if step.output is None else parse_value(parse(step.output))
        static = _Static(
            agent=agent.agent_digest if agent else None,
            code=self.lock.code.get(step.name),
            model=agent.model if agent else None,
            step=step,
            tools={n: self._tool_version(n) for n in agent.tool_digests} if agent and agent.tools else {},
        )
        return StepSpec(
            agent=agent,
            command=parse_text(work.command) if isinstance(work, RunWork) else None,
            effect=step.effect or ("workspace" if step.grants.nothing else "once"),
            foreach=None if step.foreach is None else parse_value(parse(step.foreach)),
            index=self.index[step.name],
            key=None if step.key is None else parse_text(step.key),
            on_error=step.on_error or defaults.on_error,
            output=output,
            output_fixed=step.output if output is not None and output.constant else None,
            prompt=parse_text(work.text) if isinstance(work, PromptWork) else None,
            prompt_version=prompt_version,
            retry=step.retry or defaults.retry,
            static=digest(_encode(static)),
            step=step,
            target=work.target if isinstance(work, UsesWork) else "",
            timeout_ms=step.timeout_ms if step.timeout_ms is not None else defaults.timeout_ms,
            values=parse_value({k: parse(v) for k, v in step.values.items()}) if step.values else None,
        )

    def _tool_version(self, name: str) -> str:
        spec = self.registry.tools.get(name)
        return spec.version if spec else ""

    def agent_work(
        self,
        name: str | None,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        with_tools: bool = True,
    ) -> AgentWork:
        """What calls of this agent are made of. KeyError when the registry has no such agent."""
        memo = (name, model, max_tokens, with_tools)
        found = self._agents.get(memo)
        if found is None:
            agent = AgentSpec(name="", tools=()) if name is None else self.registry.agents[name]
            found = self._agents[memo] = self._agent_work(agent, *memo)
        return found

    def _agent_work(
        self,
        agent: AgentSpec,
        name: str | None,
        model: str | None,
        max_tokens: int | None,
        with_tools: bool,
    ) -> AgentWork:
        defaults = self.plan.defaults
        chosen = self.lock.model or model or agent.model or defaults.model or MODEL_DEFAULT
        profile = self.lock.profiles.get(chosen) or ModelProfile(name=chosen)
        tools = tuple(
            ToolSchema(description=spec.description, name=spec.name, parameters=spec.parameters)
            for spec in (self.registry.tools[t] for t in (agent.tools if with_tools else ()))
        )
        encoded = [msgspec.json.encode(tool, order="sorted") for tool in tools]
        return AgentWork(
            agent=name,
            agent_digest=None if name is None else agent.digest,
            at_once=agent.at_once,
            iterations_max=agent.iterations_max,
            max_tokens=max_tokens or agent.max_tokens or defaults.max_tokens or profile.default_max_tokens,
            model=chosen,
            overhead_tokens=profile.input_overhead_tokens,
            profile=profile,
            system=agent.instructions,
            tool_digests={t.name: digest(e) for t, e in zip(tools, encoded, strict=True)} or _NO_TOOLS,
            tools=tools,
            tools_length=sum(map(len, encoded)),
        )

    def asked_agent(self, ask: AskAgent) -> AgentWork:
        """What the calls of a child step are made of."""
        return self.agent_work(ask.agent)

    def asked_model(self, ask: AskModel) -> AgentWork:
        """What a single model call of a program is made of."""
        return self.agent_work(ask.agent, model=ask.model, max_tokens=ask.max_tokens, with_tools=False)

    @cached_property
    def shares(self) -> tuple[Amount, ...]:
        """The account of each step by the plan alone: its declared budget, or an equal share of what is left.

        Shares go only to steps that can spend the dimension; what cannot be divided stays with the run. In a
        dimension that only some step limits, all others have `PLENTY`.
        """
        shares: list[dict[str, int]] = [{} for _ in self.plan.steps]
        for dimension in self.limited:
            limit = getattr(self.plan.budget, dimension)
            spenders = [i for i, step in enumerate(self.plan.steps) if self._can_spend(step, dimension)]
            declared = {i: _limit(self.plan.steps[i].budget, dimension) for i in spenders}
            left = PLENTY if limit is None else limit
            for i, amount in declared.items():
                if amount is not None:
                    shares[i][dimension] = min(amount, left)
                    left -= 0 if limit is None else shares[i][dimension]
            undeclared = [i for i, amount in declared.items() if amount is None]
            for i in undeclared:
                share = left if limit is None else left // len(undeclared)
                shares[i][dimension] = min(share, self.cap(i, dimension))
        return tuple(Amount(**share) if share else NOTHING for share in shares)

    @cached_property
    def rest(self) -> Amount:
        """What of the run's budget belongs to no step at the start."""
        rest: dict[str, int] = {}
        for dimension in self.plan.budget.limited:
            rest[dimension] = getattr(self.plan.budget, dimension) - sum(getattr(s, dimension) for s in self.shares)
        return Amount(**rest) if rest else NOTHING

    def cap(self, index: int, dimension: str) -> int:
        """What a step may have at most, whatever others leave over: its declared budget, its agent's limits."""
        step = self.plan.steps[index]
        caps = [_limit(step.budget, dimension)]
        if isinstance(step.work, PromptWork) and step.work.agent is not None:
            caps.append(_limit(self.registry.agents[step.work.agent].limits, dimension))
        return min((c for c in caps if c is not None), default=PLENTY)

    def ask_cap(self, ask: AskAgent, dimension: str) -> int:
        """What a child step of a program may have at most: what was asked for it, its agent's limits."""
        caps = (_limit(ask.budget, dimension), _limit(self.registry.agents[ask.agent].limits, dimension))
        return min((c for c in caps if c is not None), default=PLENTY)

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """The dimensions that accounts keep, in the order of `DIMENSIONS`."""
        own = {d for step in self.plan.steps if step.budget for d in step.budget.limited}
        own |= {d for agent in self.registry.agents.values() for d in agent.limits.limited}
        return tuple(d for d in DIMENSIONS if d in own or d in self.plan.budget.limited)

    def _can_spend(self, step: Step, dimension: str) -> bool:
        work = step.work
        if isinstance(work, UsesWork):
            return True
        if isinstance(work, RunWork):
            return dimension == "tool_calls"
        if dimension != "tool_calls":
            return True
        agent = self.registry.agents.get(work.agent) if work.agent else None
        return bool(agent and agent.tools)

    def place(self, part: str) -> str:
        """Where a part of the plan was written, or an empty string."""
        return self.lock.places.get(part, "")


def _limit(limits: Limits | None, dimension: str) -> int | None:
    return None if limits is None else getattr(limits, dimension)

"""What the calls of an agent are made of, apart from the conversation."""

from __future__ import annotations

import msgspec

from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.models import ModelProfile, ToolSchema
from tenuto.core.plan import Defaults, Lock, Registry

__all__ = ["MODEL_DEFAULT", "AgentWork", "make_agent_work"]

MODEL_DEFAULT = "mock:"
"""The model of an agent for which nobody names one."""
_NO_TOOLS: dict[str, Digest] = {}


class AgentWork(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one model call of an agent is made of, apart from the conversation."""

    agent: str | None
    agent_digest: Digest | None
    approve: tuple[str, ...]
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


def make_agent_work(
    registry: Registry,
    lock: Lock,
    defaults: Defaults,
    name: str | None,
    *,
    model: str | None,
    max_tokens: int | None,
    tools: tuple[str, ...] | None,
) -> AgentWork:
    """Put together what the agent, the lock and the defaults say: the nearest wins. `tools` narrows the agent's own.

    KeyError when the registry has no such agent, or no tool of it.
    """
    agent = AgentSpec(name="", tools=()) if name is None else registry.agents[name]
    chosen = lock.model or model or agent.model or defaults.model or MODEL_DEFAULT
    profile = lock.profiles.get(chosen) or ModelProfile(name=chosen)
    schemas = tuple(
        ToolSchema(description=spec.description, name=spec.name, parameters=spec.parameters)
        for spec in (registry.tools[tool] for tool in agent.tools if tools is None or tool in tools)
    )
    encoded = [msgspec.json.encode(schema, order="sorted") for schema in schemas]
    return AgentWork(
        agent=name,
        agent_digest=None if name is None else agent.digest,
        approve=agent.approve,
        at_once=agent.at_once,
        iterations_max=agent.iterations_max,
        max_tokens=max_tokens or agent.max_tokens or defaults.max_tokens or profile.default_max_tokens,
        model=chosen,
        overhead_tokens=profile.input_overhead_tokens,
        profile=profile,
        system=agent.system,
        tool_digests={t.name: digest(e) for t, e in zip(schemas, encoded, strict=True)} or _NO_TOOLS,
        tools=schemas,
        tools_length=sum(map(len, encoded)),
    )

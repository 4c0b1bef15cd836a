"""Agents as data: an agent is an immutable spec; its identity is the hash of it."""

from __future__ import annotations

from functools import cached_property

import msgspec

from tenuto.core.budget import Limits
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.normal import normal
from tenuto.core.policies import OnError, Retry

__all__ = ["AgentSpec", "Capability", "Skill"]


class Capability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One named ability a step can require."""

    input_schema: msgspec.Raw | None = None
    name: str
    output_schema: msgspec.Raw | None = None


class Skill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How something is done: a text that is given to agents beside their instructions."""

    description: str = ""
    name: str
    text: str

    @property
    def digest(self) -> Digest:
        """The skill's version."""
        return digest(msgspec.json.encode(self, order="sorted"))


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """A named spec: role, capabilities, instructions, model, tools, limits, policies. Data, not a thread.

    `model` is `provider:model`, or None where the plan's default holds. `at_once` limits its open calls over a
    whole run. `limits` holds per step; `iterations_max` is the limit of model calls in one attempt.
    `approve` names the tools of which each call needs a person's approval. `fallbacks` are agents that take over
    where this one has failed and the step names none.
    """

    approve: tuple[str, ...] = ()
    at_once: int | None = None
    capabilities: tuple[Capability, ...] = ()
    description: str = ""
    fallbacks: tuple[str, ...] = ()
    instructions: str = ""
    iterations_max: int = 25
    limits: Limits = Limits()
    max_tokens: int | None = None
    model: str | None = None
    name: str
    on_error: OnError | None = None
    retry: Retry | None = None
    role: str = ""
    skills: tuple[Skill, ...] = ()
    timeout_ms: int | None = None
    tools: tuple[str, ...] = ()
    version: str = ""

    @property
    def system(self) -> str:
        """The system text of its calls: its instructions, then each skill under a heading of its own."""
        skills = (f"# Skill: {skill.name}\n\n{skill.text}" for skill in self.skills)
        return "\n\n".join(part for part in (self.instructions, *skills) if part)

    @cached_property
    def digest(self) -> Digest:
        """The agent's identity."""
        return digest(msgspec.json.encode(normal(self), order="sorted"))

"""Agents as data: an agent is an immutable spec; its identity is the hash of it."""

from __future__ import annotations

from functools import cached_property

import msgspec

from tenuto.core.budget import Limits
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.normal import normal
from tenuto.core.policies import OnError, Retry

__all__ = ["AgentSpec", "Capability"]


class Capability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named ability a step can require."""

    input_schema: msgspec.Raw | None = None
    name: str
    output_schema: msgspec.Raw | None = None


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
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
    timeout_ms: int | None = None
    tools: tuple[str, ...] = ()
    version: str = ""

    @cached_property
    def digest(self) -> Digest:
        """The agent's identity."""
        return digest(msgspec.json.encode(normal(self), order="sorted"))

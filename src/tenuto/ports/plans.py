"""Sub-plans that steps produce, as a port: from what a model wrote to a plan that can be run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan

__all__ = ["PlanReader"]


class PlanReader(Protocol):
    def read(self, source: Any, agents: Mapping[str, AgentSpec], tools: Collection[str]) -> Plan:
        """The plan that a text (as a plan file holds it) or an object describes, held to these agents and tools.

        Reads no file and imports nothing. Raises InvalidPlanError, with every problem found.
        """
        ...

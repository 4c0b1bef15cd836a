"""Plans that models wrote: read like a plan file, but closed, so that they name no other file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tenuto.adapters.plans.plan_file import read_plan
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan
from tenuto.errors import InvalidPlanError
from tenuto.ports.plans import PlanReader

__all__ = ["ProducedPlans"]

_PLACE = Path("produced.plan.yaml")


class ProducedPlans(PlanReader):
    """Reads the text or the object that an earlier step gave as its output."""

    def read(self, source: Any, agents: Mapping[str, AgentSpec], tools: Collection[str]) -> Plan:
        if not isinstance(source, (str, dict)):
            raise InvalidPlanError("this is neither a plan's text nor an object", fix="let the step before give one")
        text = source if isinstance(source, str) else json.dumps(source, ensure_ascii=False)
        return read_plan(text.encode(), _PLACE, tools, agents=agents).plan

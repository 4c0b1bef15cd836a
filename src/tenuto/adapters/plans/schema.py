"""JSON Schemas of plan and agent files, for editors: made from the tables of keys that the readers use."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.plans.agent_keys import FRONT_MATTER
from tenuto.adapters.plans.plan_keys import PLAN
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["SCHEMAS", "schema"]

SCHEMAS = ("plan", "agent")
"""What there is a schema of."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a plan file or of an agent file's front matter. UsageError for other names."""
    match name:
        case "plan":
            shape, title, more = PLAN, "tenuto plan", {}
        case "agent":
            # Front matter is shared with other programs, whose keys we leave alone.
            shape, title, more = FRONT_MATTER, "tenuto agent (front matter)", {"additionalProperties": True}
        case _:
            raise UsageError(f"there is no schema of {shorten(name)}", fix=did_you_mean(name, SCHEMAS))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | dict(shape.schema) | more

"""Plans built in Python, `tenuto.build`: the words of plan files as functions, with Python's types.

Every function gives the plain, immutable value that a plan file would have given: a `Step`, a `Plan`, an
`AgentSpec`. Wrong durations, sums and values raise UsageError at once; what is wrong with a plan as a whole is
told when it is run or written.
"""

from tenuto.adapters.building.agents import agent, capability
from tenuto.adapters.building.expressions import (
    Expression,
    error,
    expression,
    given,
    item,
    iteration,
    key,
    last,
    output,
    status,
    value,
)
from tenuto.adapters.building.plans import defaults, input, plan
from tenuto.adapters.building.policies import grants, limits, merged_by, prefer, repeat, repeatable, retry
from tenuto.adapters.building.source import to_python
from tenuto.adapters.building.steps import StepOptions, approval, prompt, run, subplan, uses, wait

__all__ = [
    "Expression",
    "StepOptions",
    "agent",
    "approval",
    "capability",
    "defaults",
    "error",
    "expression",
    "given",
    "grants",
    "input",
    "item",
    "iteration",
    "key",
    "last",
    "limits",
    "merged_by",
    "output",
    "plan",
    "prefer",
    "prompt",
    "repeat",
    "repeatable",
    "retry",
    "run",
    "status",
    "subplan",
    "to_python",
    "uses",
    "value",
    "wait",
]

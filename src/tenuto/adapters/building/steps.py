"""The six kinds of steps, each a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypedDict, Unpack

import msgspec

from tenuto.adapters.building.expressions import Expression
from tenuto.adapters.building.policies import condition_text
from tenuto.adapters.building.values import Duration, Names, json_value, milliseconds, names, output_schema
from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.durations import duration_text
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import ApprovalWork, Plan, PlanWork, PromptWork, RunWork, Step, UsesWork, WaitWork, Work
from tenuto.core.policies import OnError, Repeat, Retry
from tenuto.core.repetition import Repeatable
from tenuto.core.tools import Effect, Grants
from tenuto.errors import UsageError

__all__ = ["StepOptions", "approval", "prompt", "run", "subplan", "uses", "wait"]


class StepOptions(TypedDict, total=False):
    """What any step may have; the words are those of plan files, but `condition` for `if` and `values` for `with`."""

    budget: Limits | None
    condition: str | bool | Expression | None
    foreach: Iterable[Any] | Expression | str | None
    grants: Grants
    keep: Iterable[str]
    key: str | Expression | None
    max_parallel: int | None
    merge: MergePolicy
    needs: Names
    on_error: OnError | None
    reads: Iterable[str]
    repeat: Repeat | None
    repeatable: Repeatable | bool | None
    timeout: Duration | None
    values: Mapping[str, Any]


def prompt(
    name: str,
    text: str,
    *,
    agent: AgentSpec | str | None = None,
    source: str = "",
    fallback: Names = (),
    output: Any = None,
    model: str | None = None,
    max_tokens: int | None = None,
    retry: Retry | None = None,
    tools: Iterable[str] | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """An agent's work; without `agent` the model alone does it.

    `output` is a type or a JSON Schema; where it is left out and the agent is a function's (`@agent`), the type that
    the function returns. `source` names the file that the text is from, where it is from one.
    """
    if output is None and isinstance(agent, AgentSpec) and len(agent.capabilities) == 1:
        output = agent.capabilities[0].output_schema
    work = PromptWork(agent=names(agent)[0] if agent is not None else None, source=source, text=str(text))
    more = {
        "fallback": names(fallback),
        "max_tokens": max_tokens,
        "model": model,
        "output": output_schema(output, f"{name}.output"),
        "retry": retry,
        "tools": None if tools is None else tuple(tools),
    }
    return _step(name, work, options, more)


def run(
    name: str,
    command: str,
    *,
    output: Any = None,
    effect: Effect | None = None,
    retry: Retry | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """A command for `/bin/sh -c`, in the sandbox and the step's tree; with `output`, it prints JSON."""
    more = {"effect": effect, "output": output_schema(output, f"{name}.output"), "retry": retry}
    return _step(name, RunWork(command=str(command)), options, more)


def uses(
    name: str, target: str | Callable[..., Any], *, retry: Retry | None = None, **options: Unpack[StepOptions]
) -> Step:
    """A step program: an `async def f(ctx, inputs)` of a module, or its name as `python:MODULE:FUNCTION`."""
    if not isinstance(target, str):
        if "." in target.__qualname__:
            fix = "define it at the top of its module, where it can be found again"
            raise UsageError("this is no function of a module", where=target.__qualname__, fix=fix)
        target = f"python:{target.__module__}:{target.__qualname__}"
    return _step(name, UsesWork(target=target), options, {"retry": retry})


def subplan(
    name: str,
    plan: Plan | Expression | str,
    *,
    source: str = "",
    tools: Iterable[str] | None = None,
    **options: Unpack[StepOptions],
) -> Step:
    """Another plan as one step, or one that an earlier step gives: `output(draft)`. `values` are its inputs."""
    work = PlanWork(plan=plan, source=source) if isinstance(plan, Plan) else PlanWork(source=source, text=str(plan))
    return _step(name, work, options, {"tools": None if tools is None else tuple(tools)})


def approval(name: str, ask: str, *, expires: Duration | None = None, **options: Unpack[StepOptions]) -> Step:
    """A question to a person, who sees the step's `values` and may edit them."""
    return _step(name, ApprovalWork(ask=str(ask), expires_ms=milliseconds(expires)), options, {})


def wait(name: str, duration: Duration | Expression, **options: Unpack[StepOptions]) -> Step:
    """A pause."""
    if isinstance(duration, timedelta):
        duration = duration_text(milliseconds(duration) or 0)
    return _step(name, WaitWork(duration=str(duration)), options, {})


def _step(name: str, work: Work, options: StepOptions, more: dict[str, Any]) -> Step:
    fields: dict[str, Any] = {key: item for key, item in options.items() if key not in ("timeout", "foreach")}
    if "condition" in fields:
        fields["condition"] = condition_text(fields["condition"])
    if "needs" in fields:
        fields["needs"] = names(fields["needs"])
    if fields.get("key") is not None:
        fields["key"] = str(fields["key"])
    for globs in ("keep", "reads"):
        if globs in fields:
            fields[globs] = tuple(fields[globs])
    if isinstance(given := fields.get("repeatable"), bool):
        fields["repeatable"] = Repeatable(on=given)
    if "values" in fields:
        fields["values"] = {
            key: json_value(item, f"{name}.values.{key}") for key, item in options.get("values", {}).items()
        }
    fields["foreach"] = _items(options.get("foreach"), name)
    return Step(name=name, work=work, timeout_ms=milliseconds(options.get("timeout")), **fields, **more)


def _items(items: Any, name: str) -> msgspec.Raw | None:
    if items is None or isinstance(items, (str, Expression, msgspec.Raw)):
        return None if items is None else json_value(items, f"{name}.foreach")
    return json_value(list(items), f"{name}.foreach")

"""Python source that builds a plan anew: for looking at a plan file as Python, and for going over to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tenuto.adapters.plans.plan_values import dollars_text
from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.budget import Limits
from tenuto.core.canonical import canonical, parse
from tenuto.core.durations import duration_text, read_duration_ms
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import (
    ApprovalWork,
    Defaults,
    InputSpec,
    Plan,
    PlanWork,
    PromptWork,
    RunWork,
    Step,
    UsesWork,
    WaitWork,
)
from tenuto.core.policies import Repeat, Retry
from tenuto.core.repetition import Repeatable
from tenuto.core.tools import Grants
from tenuto.errors import InvalidPlanError

__all__ = ["to_python"]

_WIDTH = 100
_WORDS = {
    "fallbacks": "fallback",
    "input_schema": "input",
    "output_schema": "output",
    "iterations_max": "iterations",
}
"""What the functions call otherwise than the core; `_ms` and `_micros` are dropped from units."""
_BUILDERS: dict[type, str] = {
    Defaults: "build.defaults",
    Grants: "build.grants",
    InputSpec: "build.input",
    Limits: "build.limits",
    Repeat: "build.repeat",
    Repeatable: "build.repeatable",
    Retry: "build.retry",
    Capability: "build.capability",
}
_MISPLACED = {
    "effect": (RunWork,),
    "fallback": (PromptWork,),
    "max_tokens": (PromptWork,),
    "model": (PromptWork,),
    "output": (PromptWork, RunWork),
    "repeatable": (PromptWork, RunWork, UsesWork),
    "retry": (PromptWork, RunWork, UsesWork),
    "tools": (PromptWork, PlanWork),
}
"""What only some kinds of steps may have."""


def to_python(plan: Plan, agents: Mapping[str, AgentSpec] | None = None) -> str:
    """A module that binds `plan` and `agents` to values equal to these, by calls of `tenuto.build`.

    The same plan gives the same text. InvalidPlanError where the plan holds what no builder gives, such as a
    `model` in a `run` step or JSON that is not canonical.
    """
    body = f"plan = {_text(_plan(plan), 0)}\n"
    team = [_agent(agent) for agent in (agents or {}).values()]
    body += f"agents = {_text(team, 0)}\n"
    return f"from tenuto import build\n\n{body}"


class _Call:
    """A call in the source: what is called, and its arguments."""

    def __init__(self, function: str, *arguments: Any, **named: Any) -> None:
        self.function = function
        self.arguments = arguments
        self.named = named


def _plan(plan: Plan) -> _Call:
    named = _fields(
        plan, ("description", "inputs", "budget", "agents", "tools", "defaults", "outputs", "merge"), "plan"
    )
    return _Call("build.plan", plan.name, *(_step(step) for step in plan.steps), **named)


def _agent(agent: AgentSpec) -> _Call:
    names = tuple(name for name in agent.__struct_fields__ if name not in ("name", "instructions", "skills"))
    return _Call("build.agent", agent.name, agent.system, **_fields(agent, names, f"agents.{agent.name}"))


def _step(step: Step) -> _Call:
    where = f"steps.{step.name}"
    call = _work(step)
    names = tuple(name for name in step.__struct_fields__ if name not in ("name", "work"))
    for name, found in _fields(step, names, where).items():
        if not isinstance(step.work, _MISPLACED.get(name, object)):
            raise InvalidPlanError(f"{name} has no meaning in this step", where=where, fix=f"remove {name}")
        call.named[name] = found
    return call


def _work(step: Step) -> _Call:
    match step.work:
        case PromptWork(agent=agent, source=source, text=text):
            return _Call("build.prompt", step.name, text, **_given(agent=agent, source=source or None))
        case RunWork(command=command):
            return _Call("build.run", step.name, command)
        case UsesWork(target=target):
            return _Call("build.uses", step.name, target)
        case PlanWork(plan=None, source=source, text=text):
            return _Call("build.subplan", step.name, text, **_given(source=source or None))
        case PlanWork(plan=Plan() as plan, source=source, text=""):
            return _Call("build.subplan", step.name, _plan(plan), **_given(source=source or None))
        case ApprovalWork(ask=ask, expires_ms=expires):
            within = None if expires is None else _duration(expires, step.name)
            return _Call("build.approval", step.name, ask, **_given(expires=within))
        case WaitWork(duration=duration):
            return _Call("build.wait", step.name, duration)
        case _:
            raise InvalidPlanError("this is a sub-plan and a text for one", where=step.name, fix="keep one of them")


def _given(**named: Any) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _fields(struct: msgspec.Struct, names: tuple[str, ...], where: str) -> dict[str, Any]:
    """What does not hold its default, as arguments."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(struct)):
        held = getattr(struct, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if field.name in names and held != default:
            word = field.name.removesuffix("_ms").removesuffix("_micros")
            found[_WORDS.get(word, word)] = _argument(field.name, held, f"{where}.{word}")
    return found


def _argument(name: str, held: Any, where: str) -> Any:
    match held:
        case msgspec.Raw():
            return _json(held, where)
        case MergePolicy(kind="prefer", prefer=str(step), agent=None):
            return _Call("build.prefer", step)
        case MergePolicy(kind="agent", agent=str(agent), prefer=None):
            return _Call("build.merged_by", agent)
        case MergePolicy():
            raise InvalidPlanError("no plan says such a merge", where=where, fix="use prefer or merged_by")
        case Capability(input_schema=None, output_schema=None, name=ability):
            return ability
        case msgspec.Struct():
            return _Call(_BUILDERS[type(held)], **_fields(held, held.__struct_fields__, where))
        case tuple():
            return [_argument("", item, f"{where}[{index}]") for index, item in enumerate(held)]
        case dict():
            return {key: _argument("", item, f"{where}.{key}") for key, item in held.items()}
        case int() if name == "usd_micros":
            return dollars_text(held)
        case int() if name.endswith("_ms"):
            return _duration(held, where)
        case _:
            return held


def _json(raw: msgspec.Raw, where: str) -> Any:
    value = parse(raw)
    if canonical(value) != bytes(raw):
        raise InvalidPlanError("this JSON is not canonical", where=where, fix="encode it with core.canonical")
    return value


def _duration(milliseconds: int, where: str) -> str:
    text = duration_text(milliseconds)
    try:
        if read_duration_ms(text) == milliseconds:
            return text
    except ValueError:
        pass
    raise InvalidPlanError(f"{milliseconds} ms are no duration that a plan says", where=where, fix="correct it")


def _text(value: Any, indent: int) -> str:
    """The source of a value; on one line where it fits."""
    line = _line(value)
    if len(line) + indent <= _WIDTH and "\n" not in line:
        return line
    return _lines(value, indent)


def _line(value: Any) -> str:
    match value:
        case _Call():
            arguments = [_line(argument) for argument in value.arguments]
            arguments += [f"{name}={_line(argument)}" for name, argument in value.named.items()]
            return f"{value.function}({', '.join(arguments)})"
        case list():
            return f"[{', '.join(_line(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_line(item)}' for key, item in value.items())}}}"
        case _:
            return repr(value)


def _lines(value: Any, indent: int) -> str:
    inner = indent + 4
    match value:
        case _Call():
            parts = [_text(argument, inner) for argument in value.arguments]
            parts += [f"{name}={_text(argument, inner)}" for name, argument in value.named.items()]
            return _around(f"{value.function}(", parts, ")", indent)
        case list() if value:
            return _around("[", [_text(item, inner) for item in value], "]", indent)
        case dict() if value:
            return _around("{", [f"{key!r}: {_text(item, inner)}" for key, item in value.items()], "}", indent)
        case str() if len(value) > _WIDTH // 2:
            pad = " " * inner
            return f"(\n{pad}" + f"\n{pad}".join(repr(part) for part in _pieces(value)) + "\n" + " " * indent + ")"
        case _:
            return _line(value)


def _around(head: str, parts: list[str], tail: str, indent: int) -> str:
    pad = " " * (indent + 4)
    return f"{head}\n" + "".join(f"{pad}{part},\n" for part in parts) + " " * indent + tail


def _pieces(text: str) -> Iterator[str]:
    """A long text by its lines, which Python joins again."""
    yield from text.splitlines(keepends=True)

"""Writing and reading the three bodies a run is made of: plan, registry, lock.

JSON Schemas and templates are held as raw JSON, which msgspec reads only where a field is required; the optional
ones are put back by hand here, in one place.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.canonical import canonical, parse
from tenuto.core.normal import normal
from tenuto.core.plan import InputSpec, Lock, Plan, Registry, Step
from tenuto.core.tools import ToolSpec

__all__ = ["read_lock", "read_plan", "read_registry", "write_body"]

_T = TypeVar("_T")
_encode = msgspec.json.Encoder(order="sorted").encode
_RAW_IN_STEPS = frozenset(("foreach", "output", "values"))


def write_body(body: Plan | Registry | Lock) -> bytes:
    """The bytes whose digest `RunStarted` names."""
    return _encode(normal(body))


def read_plan(data: bytes) -> Plan:
    """Raises ValueError for bytes that are no plan of this version."""
    return _plan(_object(data))


def _plan(fields: dict[str, Any]) -> Plan:
    steps = _steps(fields.pop("steps", []))
    inputs = {name: _with_raw(InputSpec, spec, ("default",)) for name, spec in fields.pop("inputs", {}).items()}
    outputs = _raw_values(fields.pop("outputs", {}))
    plan = msgspec.convert({**fields, "steps": ()}, Plan)
    return replace(plan, inputs=inputs, outputs=outputs, steps=steps)


def read_registry(data: bytes) -> Registry:
    """Raises ValueError for bytes that are no registry of this version."""
    fields = _object(data)
    _refuse_unknown(fields, Registry)
    agents = {name: _agent(spec) for name, spec in fields.get("agents", {}).items()}
    tools = {name: _tool(spec) for name, spec in fields.get("tools", {}).items()}
    return Registry(agents=agents, tools=tools)


def read_lock(data: bytes) -> Lock:
    """Raises ValueError for bytes that are no lock of this version."""
    return msgspec.json.decode(data, type=Lock)


def _object(data: bytes) -> dict[str, Any]:
    fields = parse(data)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return cast("dict[str, Any]", fields)


def _refuse_unknown(fields: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    unknown = fields.keys() - set(kind.__struct_fields__)
    if unknown:
        raise ValueError(f"unknown field `{min(unknown)}`")


def _steps(steps: list[dict[str, Any]]) -> tuple[Step, ...]:
    """All steps read in one go; what is held as raw JSON, or is a plan itself, is taken out before and put back."""
    held = [_held(fields) for fields in steps]
    plain = msgspec.convert(steps, tuple[Step, ...])
    return tuple(_put_back(step, back) if back else step for step, back in zip(plain, held, strict=True))


def _held(fields: dict[str, Any]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if not fields.keys().isdisjoint(_RAW_IN_STEPS):
        held = {name: msgspec.Raw(canonical(fields.pop(name))) for name in ("foreach", "output") if name in fields}
        if "values" in fields:
            held["values"] = _raw_values(fields.pop("values"))
    if "plan" in fields["work"]:
        held["plan"] = _plan(fields["work"].pop("plan"))
    return held


def _put_back(step: Step, held: dict[str, Any]) -> Step:
    inner = held.pop("plan", None)
    return replace(step, **held) if inner is None else replace(step, **held, work=replace(step.work, plan=inner))


def _agent(fields: dict[str, Any]) -> AgentSpec:
    schemas = ("input_schema", "output_schema")
    capabilities = tuple(_with_raw(Capability, c, schemas) for c in fields.pop("capabilities", ()))
    return replace(msgspec.convert(fields, AgentSpec), capabilities=capabilities)


def _tool(fields: dict[str, Any]) -> ToolSpec:
    output = fields.pop("output_schema", None)
    _refuse_unknown(fields, ToolSpec)
    known: dict[str, Any] = dict(fields)
    known["parameters"] = msgspec.Raw(canonical(fields["parameters"]))
    return ToolSpec(**known, output_schema=None if output is None else msgspec.Raw(canonical(output)))


def _with_raw(kind: type[_T], fields: dict[str, Any], names: tuple[str, ...]) -> _T:
    raw = {name: msgspec.Raw(canonical(fields.pop(name))) for name in names if name in fields}
    made = msgspec.convert(fields, kind)
    return replace(made, **raw) if raw else made  # type: ignore[type-var]  # every kind here is a Struct


def _raw_values(fields: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(canonical(value)) for name, value in fields.items()}

"""Checking a plan as far as can be without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.programs import PythonPrograms
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.app.auditing import audits_told
from tenuto.app.config import Settings
from tenuto.app.forecast import Forecast, forecast
from tenuto.app.locking import Move, lock_path, locked, moves, read_lock_file
from tenuto.app.nouns import counted
from tenuto.app.plans import ReadyPlan, programs_of, ready_plan
from tenuto.app.providers import model_directory
from tenuto.core.agent_work import MODEL_DEFAULT
from tenuto.core.ids import Digest
from tenuto.core.models import ModelProfile
from tenuto.core.pinning import dropped_by, unpinned_models
from tenuto.core.plan import Lock, Registry, every_step
from tenuto.core.pricing import unknown_prices
from tenuto.core.report import worst_grade
from tenuto.core.spec import RunSpec
from tenuto.errors import InvalidPlanError, UsageError

if TYPE_CHECKING:
    from tenuto.adapters.guard.finding import Finding

__all__ = ["CheckedPlan", "check_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPlan:
    """A plan in which nothing is wrong, and what it resolves to.

    `warnings`: what its programs reach without `ctx`. `audited`: what audits found of its models, a line each.
    """

    path: Path
    ready: ReadyPlan
    profiles: dict[str, ModelProfile]
    spec: RunSpec
    warnings: tuple[Finding, ...] = ()
    audited: tuple[str, ...] = ()

    @property
    def lock(self) -> Path:
        """Where the plan's lock is, if there is one."""
        return lock_path(self.path)

    @property
    def moved(self) -> list[Move] | None:
        """What is not as it was locked; None where nothing was."""
        recorded = read_lock_file(self.lock)
        return None if recorded is None else moves(recorded, locked(self.ready, self.spec), self.ready)

    @property
    def forecast(self) -> Forecast:
        """What the plan could spend at most."""
        return forecast(self.spec)

    def object(self) -> dict[str, Any]:
        """As `--json` shows it."""
        plan = self.ready.plan
        return {
            "ok": True,
            "plan": plan.name,
            "digest": plan.digest,
            "steps": [step.name for step in plan.steps],
            "inputs": {name: {"type": s.type, "required": s.default is None} for name, s in plan.inputs.items()},
            "agents": sorted(self.ready.agents),
            "tools": [spec.name for spec in self.ready.tools.specs()],
            "models": [
                {
                    "name": name,
                    "grade": profile.grade,
                    "profile": profile.entry,
                    "drops": list(dropped_by(profile)),
                    "verified": profile.verified,
                    "source": profile.source,
                    "price": None if profile.price is None else msgspec.to_builtins(profile.price),
                }
                for name, profile in self.profiles.items()
            ],
            "audited": list(self.audited),
            "grade": worst_grade(self.profiles.values()),
            "forecast": msgspec.to_builtins(self.forecast),
            "lock": str(self.lock) if (moved := self.moved) is not None else None,
            "moved": msgspec.to_builtins(moved or []),
            "warnings": msgspec.to_builtins(self.warnings),
        }

    def lines(self) -> list[str]:
        """What it is and how it is run, as people read it."""
        plan = self.ready.plan
        needed = [name for name, spec in plan.inputs.items() if spec.default is None]
        models = ", ".join(f"{name} ({_told(profile)})" for name, profile in self.profiles.items())
        lines = [
            f"ok: {self.path}: {plan.name}, {counted(len(plan.steps), 'step')}, "
            f"{counted(len(self.ready.agents), 'agent')}, models {models}"
        ]
        if needed:
            lines.append(f"  needs inputs: {', '.join(needed)}")
        return [*lines, *(f"  {line}" for line in self.audited)]

    @property
    def command(self) -> str:
        """The command that runs it."""
        needed = [name for name, spec in self.ready.plan.inputs.items() if spec.default is None]
        return f"tenuto run {self.path}" + "".join(f" --input {name}=..." for name in needed)


async def check_plan(settings: Settings, path: Path, repository: Path, *, strict: bool = False) -> CheckedPlan:
    """Resolve a plan and all it names. InvalidPlanError holds every problem found, each with its place.

    With `strict` what programs reach without `ctx` is a problem, too.
    """
    ready = await ready_plan(path, repository, sandbox=None, need_sandbox=False, secrets=settings.secrets)
    problems: list[InvalidPlanError] = []
    programs = PythonPrograms([ready.directory])
    code: dict[str, Digest] = {}
    warnings: list[Finding] = []
    for step, target in programs_of(ready.plan):
        try:
            code[step] = programs.load(target).code
        except UsageError as error:
            problems.append(_problem(ready, f"steps.{step}.uses", error))
        else:
            from tenuto.adapters.guard.finding import find_reaches

            warnings += find_reaches(step, target, ready.directory)
    if strict:
        problems.extend(InvalidPlanError(found.what, where=found.where, fix=found.fix) for found in warnings)
    profiles: dict[str, ModelProfile] = {}
    directory = model_directory(settings, SystemClock(), scripts=(Path(), ready.directory), recorded={})
    for part, name in _models(ready, settings.model).items():
        if name.startswith("replay:"):
            profiles[name] = ModelProfile(name=name, grade="exact", source="a record", verified=True)
            continue  # looked up in the store when the run starts
        try:
            profiles[name] = directory.profile(name)
        except UsageError as error:
            problems.append(_problem(ready, part, error))
    profiles = dict(sorted(profiles.items()))
    registry = Registry(agents=dict(ready.agents), tools={spec.name: spec for spec in ready.tools.specs()})
    spec = RunSpec(
        ready.plan, registry, Lock(code=code, model=settings.model, profiles=profiles, strict=settings.strict)
    )
    problems.extend(_problem(ready, "budget", refusal) for refusal in unknown_prices(spec, profiles))
    if settings.strict:
        problems.extend(_problem(ready, "", refusal) for refusal in unpinned_models(profiles))
    if problems:
        first = problems[0]
        raise InvalidPlanError(first.what, where=first.where, fix=first.fix, others=problems[1:])
    audited = await audits_told(FileArtifactStore(settings.store / "artifacts"), list(profiles))
    return CheckedPlan(
        path=path, ready=ready, profiles=profiles, spec=spec, warnings=tuple(warnings), audited=tuple(audited)
    )


def _models(ready: ReadyPlan, override: str | None) -> dict[str, str]:
    """Every part of the plan that names a model, each model once."""
    if override is not None:
        return {"": override}
    named = {f"steps.{path}.model": step.model for path, step in every_step(ready.plan)}
    named |= {f"agents.{name}.model": agent.model for name, agent in ready.agents.items()}
    named["defaults.model"] = ready.plan.defaults.model or MODEL_DEFAULT
    return {part: name for name, part in {name: part for part, name in named.items() if name}.items()}


def _told(profile: ModelProfile) -> str:
    """A model's grade, and what is not sent to it."""
    dropped = dropped_by(profile)
    return profile.grade + (f", drops {', '.join(dropped)}" if dropped else "")


def _problem(ready: ReadyPlan, part: str, error: UsageError) -> InvalidPlanError:
    place = ready.places.get(part) or ready.places.get(part.rpartition(".")[0]) or ready.places.get("", "")
    where = (ready.directory / place).as_posix() if place else error.where
    what = f"{part}: {error.what}" if part else error.what
    if error.where and error.where not in what:
        what = f"{what} ({error.where})"
    return InvalidPlanError(what, where=where, fix=error.fix)

"""What a fork is of: plan, agents, inputs and tree of a recorded run, with exactly the changes that were asked for.

Without changes everything comes from the store: the files that the run was made from need not be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tenuto.adapters.plans.part_setting import PlanAndAgents, set_part, split_setting
from tenuto.app.build import Store
from tenuto.app.config import Settings
from tenuto.app.driving import read_start
from tenuto.app.editing import Change, edit_run
from tenuto.app.finding import resolve_run
from tenuto.app.plans import SET_PLACE, check_json_inputs, plan_directory, programs_of, tool_modules
from tenuto.app.proofs import refuse_outside
from tenuto.core.agents import AgentSpec
from tenuto.core.bodies import read_plan
from tenuto.core.canonical import parse
from tenuto.core.content import Content
from tenuto.core.events.run import RunForked
from tenuto.core.ids import Digest, RunId, StepPath
from tenuto.core.plan import Plan, every_step
from tenuto.core.plan_inputs import check_inputs
from tenuto.core.problems import did_you_mean, shorten
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.core.validation import validate_plan
from tenuto.errors import InvalidPlanError, UsageError
from tenuto.runtime.imported import is_imported
from tenuto.runtime.loading import load_state

__all__ = ["NO_CHANGES", "ForkChanges", "ForkPlan", "fork_plan"]

_INPUTS = "inputs."


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkChanges:
    """What a fork is to change, as the flags give it: `PATH=VALUE` pairs, names of files, paths of steps."""

    settings: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    run_again: tuple[str, ...] = ()


NO_CHANGES = ForkChanges()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPlan:
    """What a fork is made of. `tree` is what it starts from, `leave_out` the steps that are to run in any case.

    `commit` is the one the parent
    began at, `repository` the directory of its repository: none where it is of another machine. `changes` are
    what differs from the parent, `unchanged` the files that were named and are as they were.
    """

    parent: RunId
    state: ExecutionState
    plan: Plan
    agents: Mapping[str, AgentSpec]
    places: Mapping[str, str]
    inputs: Mapping[str, Any]
    tree: Digest
    commit: str | None
    imported: bool
    repository: Path | None
    leave_out: tuple[StepPath, ...] = ()
    changes: tuple[Change, ...] = ()
    unchanged: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where the modules of the plan are looked for."""
        return plan_directory(self.places, self.repository or Path())


async def fork_plan(settings: Settings, store: Store, given: str, changes: ForkChanges) -> ForkPlan:
    """Make the changes to what a run is made of. UsageError and InvalidPlanError; nothing is recorded by it."""
    parent = await resolve_run(store.journal, given)
    started, spec = await read_start(store, parent)
    state = await load_state(store.journal, store.contents, parent)
    imported = await is_imported(store.journal, store.artifacts, parent)
    repository = Path(started.repository) if started.repository and not imported else None
    if imported and (programs_of(spec.plan) or tool_modules(spec.plan)):
        refuse_outside(spec)
    tree, made, unchanged = started.tree, list[Change](), tuple[str, ...]()
    if changes.edits:
        here = _present(repository, parent, imported=imported)
        edited = await edit_run(settings, store, spec, tree, here, changes.edits)
        spec, tree, unchanged = edited.spec, edited.tree, edited.unchanged
        made += edited.changes
    if isinstance(started, RunForked):
        # What a fork was granted is no part of the plan that its own forks are of.
        declared = read_plan(await store.contents.get(started.plan)).budget
        spec = RunSpec(replace(spec.plan, budget=declared), spec.registry, spec.lock, spec.logic)
    pairs = _pairs(changes.settings)
    current, places = _with_settings(spec, pairs, repository)
    made += [Change(part=path, by="--set") for path in pairs]
    made += [Change(part=name, by="--from", what="again") for name in changes.run_again]
    named = {path.removeprefix(_INPUTS): value for path, value in pairs.items() if path.startswith(_INPUTS)}
    return ForkPlan(
        parent=parent,
        state=state,
        plan=current.plan,
        agents=current.agents,
        places=places,
        inputs=_inputs(state.spec.plan, current.plan, await _value(store, started.inputs), named),
        tree=tree,
        commit=started.commit,
        imported=imported,
        repository=repository,
        leave_out=_left_out(state, current.plan, changes.run_again),
        changes=tuple(made),
        unchanged=unchanged,
    )


async def _value(store: Store, content: Content) -> Mapping[str, Any]:
    held = content if content.at_hand else content.filled(await store.contents.get(content.digest))
    found: Mapping[str, Any] = held.value
    return found


def _present(repository: Path | None, parent: RunId, *, imported: bool) -> Path:
    if repository is not None and repository.is_dir():
        return repository
    what = "the run was imported, so its files are not here" if imported else "the run's repository is not there"
    raise UsageError(what, where=f"run {parent}", fix="change its parts by --set")


# --- settings ---------------------------------------------------------------------------------------------------


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for path, value in map(split_setting, given):
        if path in pairs:
            raise UsageError("this part is set twice", where=f"--set {shorten(path)}", fix="set it once")
        pairs[path] = value
    return pairs


def _with_settings(
    spec: RunSpec, pairs: Mapping[str, str], repository: Path | None
) -> tuple[PlanAndAgents, dict[str, str]]:
    """The plan and agents with their parts set, checked as a plan file is, and their places."""
    places = {part: place for part, place in spec.lock.places.items() if not part.startswith("tools.")}
    whole = PlanAndAgents(
        spec.plan, spec.registry.agents, plan_directory(places, Path() if repository is None else repository)
    )
    parts = {path: value for path, value in pairs.items() if not path.startswith(_INPUTS)}
    for path, value in parts.items():
        if path.endswith(".model") and spec.lock.model is not None:
            what = f"the run was started with --model {spec.lock.model}, which holds for every step"
            raise UsageError(
                what, where=f"--set {path}", fix="start a run with another one: `tenuto run PLAN --model`"
            )
        whole = set_part(whole, path, value)
        try:
            validate_plan(whole.plan, whole.agents, spec.registry.tools.keys() | {"run"})
        except InvalidPlanError as error:
            what = error.what.removeprefix(f"{path}: ")
            raise InvalidPlanError(what, where=f"--set {shorten(path)}", fix=error.fix) from None
    return whole, places | {f"{SET_PLACE}{path}": value for path, value in parts.items()}


def _inputs(before: Plan, after: Plan, recorded: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """The inputs of a fork: those that are set, else the recorded ones; a new default where it was the default.

    A value that was given and is the default says nothing of which it was: it counts as the default.
    """
    for name in named:
        if name not in after.inputs:
            fix = did_you_mean(name, after.inputs) if after.inputs else "the plan takes no inputs"
            raise UsageError("the plan has no such input", where=f"--set {_INPUTS}{shorten(name)}", fix=fix)
    values: dict[str, Any] = dict(named)
    for name, spec in after.inputs.items():
        if name in named or name not in recorded:
            continue
        was = before.inputs.get(name)
        by_default = was is not None and was.default is not None and parse(was.default) == recorded[name]
        if not (by_default and spec.default is not None):
            values[name] = recorded[name]
    missing = next((n for n, spec in after.inputs.items() if n not in values and spec.default is None), None)
    if missing is not None:
        fix = f"give --set {_INPUTS}{missing}=VALUE"
        raise UsageError("the plan needs this input", where=f"input {missing}", fix=fix)
    check_json_inputs(after, named)
    return check_inputs(after, values)


# --- steps that run again -----------------------------------------------------------------------------------------


def _left_out(state: ExecutionState, plan: Plan, names: Sequence[str]) -> tuple[StepPath, ...]:
    """The steps that are named; what is below them runs again, too. UsageError for one that is not there."""
    known = {*map(str, state.steps), *(path for path, _ in every_step(plan))}
    for name in names:
        if name not in known:
            fix = did_you_mean(name, [path for path, _ in every_step(plan)])
            raise UsageError("the run has no such step", where=f"--from {shorten(name)}", fix=fix)
    return tuple(dict.fromkeys(map(StepPath, names)))

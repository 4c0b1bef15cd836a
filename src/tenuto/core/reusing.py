"""Taking the recorded result of a step in place of executing it.

A result is taken where its step key is equal and what its calls were made of beyond that (`config_of`) is as well. A
fork runs through its plan as any run does: only what stands at the end of a start is another record. So a step whose
input has changed is executed, and one below it that gets equal inputs again is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tenuto.core.agent_work import AgentWork
from tenuto.core.canonical import digest
from tenuto.core.commands import Command, Conclude, MergeTrees
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.program import AskAgent
from tenuto.core.events.step import StepReused
from tenuto.core.ids import MERGED_WHOLE, Digest, position
from tenuto.core.joins import widened_tree
from tenuto.core.merging import MergePlan
from tenuto.core.results import leaf
from tenuto.core.reuse_table import Reached, Reusable
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState, StepState

__all__ = ["config_of", "taken_result"]


class _CallConfig(msgspec.Struct, frozen=True, gc=False):
    """What the calls of an agent are made of, apart from the conversation and from what its step key says."""

    accepts: tuple[str, ...]
    agent: Digest | None
    iterations_max: int
    max_tokens: int
    model: str
    system: str
    tools: dict[str, str]


_encode = msgspec.json.Encoder(order="sorted").encode


def taken_result(state: ExecutionState, step: StepState, key: Digest) -> Command | None:
    """What a start with this key comes to where a recorded result is taken; None where the step is executed."""
    entry = _reusable(state, step, key)
    return None if entry is None else _take(state, step, key, entry)


def _reusable(state: ExecutionState, step: StepState, key: Digest) -> Reusable | None:
    """The result that a step with this key may take; none where it is no first attempt."""
    table = state.spec.reuse.entries
    if not table or step.attempt:
        return None
    entry = table.get(key)
    if entry is None or entry.config != config_of(state, step, route=entry.route, reached=entry.reached):
        return None
    return entry


def _take(state: ExecutionState, step: StepState, key: Digest, entry: Reusable) -> Command:
    """The record that the step takes this result; before it, what it made of its view is put back into the whole."""
    tree, made = entry.tree, entry.leaf
    if step.whole is not None:
        seen = replace(step, out_tree=entry.made, tree=entry.given)
        whole = step.out_tree if step.widened else widened_tree(state, seen)
        if isinstance(whole, MergePlan):
            return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_WHOLE), plan=whole))
        if whole is not None and whole != tree:
            tree, made = whole, _leaf_in(state, step, entry, whole)
    return Conclude(
        StepReused(
            asked_by=step.asked_by,
            key=key,
            leaf=made,
            output=entry.output.digest,
            path=step.path,
            source=entry.source,
            tree=tree,
        )
    )


def _leaf_in(state: ExecutionState, step: StepState, entry: Reusable, tree: Digest) -> Digest:
    """The leaf of a result in another surrounding: what an execution here would have."""
    executed = replace(
        step,
        child_leaves=entry.child_leaves,
        fingerprints=entry.fingerprints,
        key=entry.last_key,
        refusals=entry.refusals,
    )
    return leaf(state, executed, status="completed", output=entry.output.digest, tree=tree, error=None)


def config_of(state: ExecutionState, step: StepState, *, route: int, reached: Sequence[Reached]) -> Digest:
    """Digest of all that the calls of a step are made of: its agents up to the one that succeeded, or what its
    program reached."""
    spec = state.spec_of(step)
    agents: list[AgentWork | None]
    tools = {what.name: _tool_version(spec, what.name) for what in reached if what.kind == "tool" and what.name}
    if isinstance(step.asked, AskAgent):
        agents = [spec.asked_agent(step.asked)]
    else:
        compiled = spec.step(step.name)
        if compiled.command is not None:
            tools["run"] = _tool_version(spec, "run")
        if compiled.target:
            tools[compiled.target] = spec.lock.modules.get(step.name, "")
        agents = [compiled.agent, *compiled.fallbacks[:route]]
    parts = [
        *(None if agent is None else _config(spec, agent) for agent in agents),
        *(_reached_config(spec, what) for what in reached if what.kind != "tool"),
    ]
    return digest(_encode([parts, tools]))


def _reached_config(spec: RunSpec, what: Reached) -> _CallConfig | None:
    if what.name is not None and what.name not in spec.registry.agents:
        return None
    if what.kind == "agent":
        return _config(spec, spec.agent_work(what.name))
    return _config(spec, spec.agent_work(what.name, model=what.model, max_tokens=what.max_tokens, tools=()))


def _config(spec: RunSpec, agent: AgentWork) -> _CallConfig:
    return _CallConfig(
        accepts=agent.profile.accepts,
        agent=agent.agent_digest,
        iterations_max=agent.iterations_max,
        max_tokens=agent.max_tokens,
        model=agent.model,
        system=agent.system,
        tools={name: f"{held} {_tool_version(spec, name)}" for name, held in agent.tool_digests.items()},
    )


def _tool_version(spec: RunSpec, name: str) -> str:
    tool = spec.registry.tools.get(name)
    return "" if tool is None else tool.version

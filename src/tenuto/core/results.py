"""Step keys, leaves and the result digest: what two runs have in common when they are the same."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tenuto.core.canonical import canonical, digest
from tenuto.core.events.program import AskAgent
from tenuto.core.ids import Digest, StepPath, child_path, iteration_path, split_position
from tenuto.core.scope import rendered, step_scope
from tenuto.core.state import ROOT, ExecutionState, StepState

__all__ = ["leaf", "result_digest", "step_key"]

_encode = msgspec.json.Encoder(order="sorted").encode
_NO_MEMORY = digest(b"{}")
"""Digest of an empty memory view: memory comes with a later version."""


class _Key(msgspec.Struct, frozen=True, gc=False):
    """What a step key is the hash of."""

    inputs: Digest
    memory: Digest
    path: str
    seed: str
    static: Digest
    tree: Digest


class _Leaf(msgspec.Struct, frozen=True, gc=False):
    """What a leaf is the hash of. `status` and `error` tell a failed step from one without output."""

    children: tuple[Digest, ...]
    error: str | None
    fingerprints: tuple[Digest, ...]
    key: str | None
    output: str | None
    path: str
    refusals: tuple[str, ...]
    status: str
    tree: Digest


def step_key(state: ExecutionState, step: StepState, tree: Digest) -> Digest:
    """The step key: path, spec, agent, prompt, model, tools (all in `static`), inputs, memory, tree, run seed."""
    asked = step.asked
    if isinstance(asked, AskAgent):
        static = digest(f"{state.spec.asked_agent(asked).agent_digest}".encode())
        inputs = digest(_encode(asked))
    else:
        static = state.spec_of(step).static(step.name, step.route)
        inputs = _inputs(state, step)
    key = _Key(inputs=inputs, memory=_NO_MEMORY, path=step.path, seed=state.seed, static=static, tree=tree)
    return Digest(hashlib.sha256(_encode(key)).hexdigest())


def _inputs(state: ExecutionState, step: StepState) -> Digest:
    """Digest of everything of the run that the step's templates look at, as they render it."""
    spec = state.compiled(step)
    if spec.values is None and spec.prompt is not None and step.child_index < 0 and spec.output is None:
        return digest(rendered(state, step, spec.prompt).encode())
    scope = step_scope(state, step)
    parts = [
        scope["with"],
        None if spec.prompt is None else spec.prompt.render(scope),
        None if spec.command is None else spec.command.render(scope),
        None if spec.output is None or spec.output_fixed is not None else spec.output.evaluate(scope),
        scope.get("item"),
    ]
    if spec.ask is not None:
        parts.append(spec.ask.render(scope))
    if spec.duration is not None:
        parts.append(spec.duration.render(scope))
    if step.produced is not None:
        parts.append(step.produced.digest)
    if spec.target and "last" in scope:
        parts.append([scope["iteration"], dict(scope["last"])])
    return digest(canonical(parts))


def leaf(
    state: ExecutionState, step: StepState, *, status: str, output: Digest | None, tree: Digest, error: str | None
) -> Digest:
    """A step's part of the result digest. Tries, lost calls, resumes, times and seq are not in it."""
    fingerprints = step.fingerprints
    if len(fingerprints) > 1:
        fingerprints = tuple(sorted(fingerprints, key=lambda f: _place(f[0])))
    made = _Leaf(
        children=_child_leaves(state, step),
        error=error,
        fingerprints=tuple(f for _, f in fingerprints),
        key=step.key,
        output=output,
        path=step.path,
        refusals=tuple(sorted(step.refusals)),
        status=status,
        tree=tree,
    )
    return Digest(hashlib.sha256(_encode(made)).hexdigest())


def _place(where: Any) -> tuple[int, ...]:
    _, attempt, ordinal = split_position(where)
    return (attempt, *map(int, ordinal.split(".")))


def _child_leaves(state: ExecutionState, step: StepState) -> tuple[Digest, ...]:
    """The leaves of the steps below a step in their order, then those of the agents it asked."""
    asked = step.child_leaves
    if len(asked) > 1:
        asked = tuple(sorted(asked, key=lambda entry: _place(entry[0])))
    return (*_leaves_below(state, step), *(made for _, made in asked))


def _leaves_below(state: ExecutionState, step: StepState) -> tuple[Digest, ...]:
    if step.expansion is not None:
        keys = step.expansion.keys
        if step.expansion.failing is not None:
            keys = keys[: step.expansion.failing + 1]
        children = [state.steps.get(child_path(step.path, key)) for key in keys]
        return tuple(c.leaf for c in children if c is not None and c.leaf is not None)
    if step.loop is not None:
        iterations = [state.steps[iteration_path(step.path, n + 1)] for n in range(step.loop.begun)]
        return tuple(i.leaf for i in iterations if i.leaf is not None)
    if step.path in state.blocks:
        return _member_leaves(state, step.path)
    return ()


def _member_leaves(state: ExecutionState, block: StepPath) -> tuple[Digest, ...]:
    """The leaves of a plan's steps in plan order; of a failed plan up to the first failing one."""
    leaves: list[Digest] = []
    failing = state.blocks[block].failing
    for member in state.members(block):
        if member.leaf is not None:
            leaves.append(member.leaf)
        if failing is not None and member.order >= failing:
            break
    return tuple(leaves)


def result_digest(state: ExecutionState, tree: Digest) -> Digest:
    """Merkle digest over plan, leaves in plan order and final tree; of a failed run up to the first failing step."""
    return digest(canonical({"leaves": list(_member_leaves(state, ROOT)), "plan": state.plan, "tree": tree}))

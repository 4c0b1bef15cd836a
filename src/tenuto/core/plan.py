"""The plan: an immutable description of steps and their dependencies, with a digest.

A plan is self-contained: prompt files, schemas and templates are in it as text. Where each part was written
(file, line, column) is kept beside it, in `Lock.places`, since moving a line does not change what a plan means.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import msgspec

from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.merging import MergePolicy
from tenuto.core.models import ModelProfile
from tenuto.core.normal import normal
from tenuto.core.policies import OnError, Repeat, Retry
from tenuto.core.repetition import Repeatable
from tenuto.core.tools import Effect, Grants, ToolSpec

__all__ = [
    "PLAN_DEPTH_MAX",
    "ApprovalWork",
    "Defaults",
    "InputSpec",
    "Lock",
    "OnError",
    "Plan",
    "PlanWork",
    "PromptWork",
    "Registry",
    "Repeat",
    "Retry",
    "RunWork",
    "Step",
    "UsesWork",
    "WaitWork",
    "Work",
    "every_step",
    "plans_within",
]

PLAN_DEPTH_MAX = 8
"""Plans within plans within plans."""


class PromptWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="prompt", tag_field="kind"):
    """An agent's work: the agent's instructions as system text, `text` (a template) as the task.

    `source` names the prompt file relative to the plan, or is empty where the prompt stands in the plan itself.
    """

    agent: str | None = None
    source: str = ""
    text: str


class RunWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="run", tag_field="kind"):
    """A command in the sandbox, run by `/bin/sh -c` in the step's tree. `command` is a template."""

    command: str


class UsesWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="uses", tag_field="kind"):
    """`python:module:function`: an async step program `f(ctx, inputs)`."""

    target: str


class PlanWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan", tag_field="kind"):
    """A sub-plan: `plan`, read from the file `source`, or `text`, a template that yields one when the step starts.

    The step's values are the sub-plan's inputs, its outputs are the step's output.
    """

    plan: Plan | None = None
    source: str = ""
    text: str = ""


class ApprovalWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="approval", tag_field="kind"):
    """A person's decision. `ask` is a template; the step's values are shown, may be edited, and are its output.

    Where nobody answers within `expires_ms`, the step has failed.
    """

    ask: str
    expires_ms: int | None = None


class WaitWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="wait", tag_field="kind"):
    """A pause. `duration` is one such as `30s` or `2h`, or a template that yields one."""

    duration: str


Work = PromptWork | RunWork | UsesWork | PlanWork | ApprovalWork | WaitWork


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One node of a plan. Values in `values` (`with:` in a file) and `foreach` are templates (JSON, canonical).

    `foreach` is a template that yields a list; each item runs as the child step `name[key]`; `key` is a template
    over `item` (default: the index). `max_parallel` bounds children between first start and end.
    `effect` and `grants` hold for a `run` command. `output` is the JSON Schema of the step's output; strings in it
    may be templates (`{"enum": "${{ item.words }}"}`), filled in when the step starts.
    `timeout_ms` is the deadline of each single call of the step. `condition` (`if:` in a file) is an expression;
    where it is false the step is skipped. `fallback` names agents that take over, in order, where the step's agent
    has failed. `keep` are globs of ignored files that stay in the tree, `reads` those of the files that it sees.
    `repeatable` holds for the commands that it runs, those of its agents included.
    `tools` narrows what its agents may use; a sub-plan that an earlier step produced may use these tools only.
    """

    budget: Limits | None = None
    condition: str | None = None
    effect: Effect | None = None
    fallback: tuple[str, ...] = ()
    foreach: msgspec.Raw | None = None
    grants: Grants = Grants()
    keep: tuple[str, ...] = ()
    key: str | None = None
    max_parallel: int | None = None
    max_tokens: int | None = None
    merge: MergePolicy = MergePolicy()
    model: str | None = None
    name: str
    needs: tuple[str, ...] = ()
    on_error: OnError | None = None
    output: msgspec.Raw | None = None
    reads: tuple[str, ...] = ()
    repeat: Repeat | None = None
    repeatable: Repeatable | None = None
    retry: Retry | None = None
    timeout_ms: int | None = None
    tools: tuple[str, ...] | None = None
    values: dict[str, msgspec.Raw] = {}
    work: Work


class Defaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What holds where neither the step nor its agent says otherwise."""

    max_tokens: int | None = None
    model: str | None = None
    on_error: OnError = "fail"
    repeatable: Repeatable | None = None
    retry: Retry = Retry()
    timeout_ms: int | None = None


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One input of a plan. Without `default` it must be given."""

    default: msgspec.Raw | None = None
    description: str = ""
    type: Literal["string", "integer", "number", "boolean", "array", "object"] = "string"


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """Steps in plan order (declaration order), the run's budget, its inputs and its outputs (templates).

    `agents` lists the file globs the plan's agents were read from, `tools` the Python modules (`python:module`)
    whose decorated functions it may use; both as written.
    """

    agents: tuple[str, ...] = ()
    budget: Limits = Limits()
    defaults: Defaults = Defaults()
    description: str = ""
    inputs: dict[str, InputSpec] = {}
    merge: MergePolicy = MergePolicy()
    name: str
    outputs: dict[str, msgspec.Raw] = {}
    steps: tuple[Step, ...]
    tools: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> Digest:
        """What the plan is, independent of files, lines and comments."""
        return digest(msgspec.json.encode(normal(self), order="sorted"))


class Registry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """The agents and tools a run may use, by name; frozen when the run starts."""

    agents: dict[str, AgentSpec] = {}
    tools: dict[str, ToolSpec] = {}

    @cached_property
    def digest(self) -> Digest:
        return digest(msgspec.json.encode(normal(self), order="sorted"))


class Lock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """What a plan resolved to when the run started.

    `at_once`: provider -> calls of its models that may be open at once. `code`: step name (`do/inner` in a sub-plan)
    -> hash of the source of its Python function; `modules` -> hash of all modules of the project that this is
    imported with, for forks: they take no result that other code has made. `guarded`: whether Python steps that
    reach the world without `ctx` fail. `model`: overrides every model of the plan. `places`: part of the plan
    (`steps.fix.prompt`) -> `file:line:col`, for messages only. `profiles`: model name -> what is known of it, its
    price included. `strict`: no model is asked that would drop a pinned parameter (`core.pinning`).
    """

    at_once: dict[str, int] = {}
    code: dict[str, Digest] = {}
    guarded: bool = False
    model: str | None = None
    modules: dict[str, Digest] = {}
    places: dict[str, str] = {}
    profiles: dict[str, ModelProfile] = {}
    sandbox: str = ""
    strict: bool = False

    @cached_property
    def digest(self) -> Digest:
        return digest(msgspec.json.encode(normal(self), order="sorted"))


def every_step(plan: Plan) -> Iterator[tuple[str, Step]]:
    """All steps of the plan and of the sub-plans of its files, each under its path (`do/inner`)."""
    for prefix, part in plans_within(plan):
        yield from ((f"{prefix}{step.name}", step) for step in part.steps)


def plans_within(plan: Plan, prefix: str = "") -> Iterator[tuple[str, Plan]]:
    """The plan and the sub-plans of its files, at any depth, each with the path that its steps' names follow."""
    yield prefix, plan
    for step in plan.steps:
        if isinstance(step.work, PlanWork) and step.work.plan is not None:
            yield from plans_within(step.work.plan, f"{prefix}{step.name}/")

"""`ExecutionState`: the fold of a journal. Immutable; an older one stays valid, which is the rollback.

What can be computed again from plan, registry and state (prompts, fingerprints, scopes) is not in it. Ready sets
and counters are, so that deciding costs what became ready and not the whole plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
from immutables import Map

from tenuto.core.agenda import Agenda, Order
from tenuto.core.budget import NOTHING, Account, Amount
from tenuto.core.content import Content
from tenuto.core.events.call import Part
from tenuto.core.events.program import Ask
from tenuto.core.events.step import Failure, Source
from tenuto.core.ids import Digest, Position, RunId, StepPath
from tenuto.core.merging import MergedTree
from tenuto.core.models import ModelConfig
from tenuto.core.spec import RunSpec, StepSpec

__all__ = [
    "ROOT",
    "AgentFrame",
    "Block",
    "Call",
    "CommandFrame",
    "DoubtfulCall",
    "Exchange",
    "ExecutionState",
    "Expansion",
    "Fed",
    "Gather",
    "Loop",
    "PersonFrame",
    "PlanFrame",
    "ProgramFrame",
    "RunStatus",
    "StepState",
    "StepStatus",
    "Verdict",
    "WaitFrame",
]

ROOT = StepPath("")
"""The path of the block that is the run's own plan."""
RunStatus = Literal["new", "running", "paused", "exhausted", "cancelling", "ok", "failed", "cancelled"]
StepStatus = Literal[
    "waiting", "merging", "ready", "running", "backoff", "expanded", "completed", "failed", "skipped", "cancelled"
]
ENDED: frozenset[StepStatus] = frozenset(("completed", "failed", "skipped", "cancelled"))
CallStatus = Literal["queued", "open", "parked", "backoff", "lost", "doubt", "unasked", "asked"]


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """One turn of a conversation: a reply, and the results of the tool calls it asked for, in listed order."""

    reply: Content
    results: tuple[Content | None, ...] = ()
    correction: str = ""


class AgentFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="agent", tag_field="frame"
):
    """The built-in agent loop as data. `started`: how many tool calls of the last exchange were queued so far."""

    base: int = 0
    corrections: int = 0
    exchanges: tuple[Exchange, ...] = ()
    iterations: int = 0
    last_call: Position | None = None
    ordinal: int = 0
    parts: tuple[Part, ...] = ()
    started: int = 0
    waiting: int = 0


class CommandFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="command", tag_field="frame"
):
    """A step that is one tool call: a `run` command."""

    result: Content | None = None


class PersonFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="person", tag_field="frame"
):
    """An approval step: its question is a call of its own."""


class WaitFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="wait", tag_field="frame"
):
    """A step that waits for a timer."""

    duration_ms: int


class PlanFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="plan", tag_field="frame"
):
    """A step whose sub-plan is under way: a block of its own."""


class Fed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a program was told: the outcome of its request `ordinal`, at the time `at`."""

    at: int
    failure: Failure | None = None
    ordinal: str
    value: Content | None = None


class Gather(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Lanes that are open: their number and the tree each started from."""

    lanes: int
    tree: Digest


class ProgramFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="program", tag_field="frame"
):
    """A Python step program: everything it was told, in order, so that it can be run again.

    `trees` holds the tree of every lane (key: lane prefix, `""` for the program itself); `pending` are asks that
    were not acted on yet, `held` those that wait until the trees of `merging` gathers are merged. `conflicts` are
    the gathers whose lanes' trees cannot be merged: what follows them in their own lane never begins.
    """

    advances: tuple[Digest, ...] = ()
    conflicts: dict[str, Failure] = {}
    fed: tuple[Fed, ...] = ()
    gathers: dict[str, Gather] = {}
    held: tuple[Ask, ...] = ()
    merging: tuple[str, ...] = ()
    open_asks: dict[str, Ask] = {}
    pending: tuple[Ask, ...] = ()
    started_at: int = 0
    trees: dict[str, Digest] = {}


Frame = AgentFrame | CommandFrame | ProgramFrame | PersonFrame | WaitFrame | PlanFrame


class Expansion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A `foreach` that knows its children. `failing`: index of the first failed child under `on_error: fail`; `sweep`
    the index from which on children are looked at to be cancelled."""

    failing: int | None = None
    items: tuple[msgspec.Raw, ...]
    keys: tuple[str, ...]
    next_child: int = 0
    running: int = 0
    share: Amount | None = None
    sweep: int = 0
    unfinished: int = 0


class Loop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A `repeat`: how many iterations have begun, and whether the last of them is under way."""

    begun: int = 0
    running: bool = False


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One plan under way: the run's own, or the sub-plan of a step. Its members are the steps of that plan.

    `failing` is the first member, in plan order, that fails the whole; `sweep` the index from which on members are
    looked at to be cancelled. `produced` is the body of a sub-plan that stands in no file.
    """

    failing: Order | None = None
    inputs: Content
    produced: Content | None = None
    sweep: int = 0
    tree: Digest
    unfinished: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an attempt comes to: an output or a failure."""

    failure: Failure | None = None
    output: Content | None = None


class StepState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One step, child, or step of an ask. `verdict` is what the last outcome meant, until a record says so.

    `block` is the plan that the step belongs to. `route` counts the agents that have failed, `routed_at` the attempts
    they had. `produced` is the sub-plan that was made for the step, `joined` the tree where the steps below it met.
    `whole` is the tree that a step of which `reads` narrows the view would see without it, `widened` says that its
    own changes are back in that. `settling` is the merge whose conflicts an agent settles for the step, `settled` the
    tree that it made. `reused` is the record of an earlier run whose result it took. `model_config` holds the pinned
    parameters of the step's last model call.
    """

    account: str
    answers: dict[str, tuple[Position, Content]] = {}
    asked: Ask | None = None
    asked_by: Position | None = None
    attempt: int = 0
    block: StepPath = ROOT
    child_index: int = -1
    due: bool = False
    error: Failure | None = None
    expansion: Expansion | None = None
    child_leaves: tuple[tuple[str, Digest], ...] = ()
    fingerprints: tuple[tuple[Position, Digest], ...] = ()
    frame: Frame | None = None
    joined: Digest | None = None
    key: Digest | None = None
    keys_seen: dict[str, int] = {}
    leaf: Digest | None = None
    loop: Loop | None = None
    missing: int = 0
    model_config: ModelConfig | None = None
    name: str
    open_calls: int = 0
    order: Order
    out_tree: Digest | None = None
    output: Content | None = None
    parent: StepPath | None = None
    path: StepPath
    produced: Content | None = None
    refusals: tuple[Position, ...] = ()
    reused: Source | None = None
    route: int = 0
    routed_at: int = 0
    settled: Digest | None = None
    settling: MergedTree | None = None
    status: StepStatus = "waiting"
    tree: Digest | None = None
    verdict: Verdict | None = None
    whole: Digest | None = None
    widened: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A call that is not over. `failures` counts tries that failed for transport reasons (crashes do not).

    `approved`: a person has let it pass, with the arguments `edited` where they changed them. `due_us` is the time
    until which an answer counts.
    """

    account: str
    approved: bool = False
    due_us: int | None = None
    edited: Content | None = None
    effect: str = ""
    failures: int = 0
    group: str = ""
    hold: Amount = NOTHING
    key: Digest | None = None
    kind: Literal["model", "tool", "merge", "plan", "person"]
    need: Amount = NOTHING
    order: Order
    path: StepPath
    position: Position
    reconcilable: bool = False
    retry_after_ms: int = 0
    status: CallStatus = "queued"
    try_number: int = 1

    @property
    def asks_person(self) -> bool:
        """Whether it waits for a person: to approve it, or to say what became of it."""
        return self.status == "asked" or (self.status == "doubt" and not self.reconcilable)

    @property
    def asks_tool(self) -> bool:
        """Whether its tool is being asked what became of it."""
        return self.status == "doubt" and self.reconcilable


class DoubtfulCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A hold that was kept: the call and try, and what it may have cost."""

    amount: Amount
    call: Position
    try_number: int


class ExecutionState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole of a run. `seq`, `at` and `head` are those of the last record folded in; `spec` is fixed.

    `queue` holds the calls that wait for a place, first come first served, by group: those for which the same limits
    hold, of an agent and of a provider. `open_calls` counts what holds a place, `group_open` that by limit. `timers`
    maps what waits to its due time. `attend` are calls that need a decision: lost ones, failed tries, questions that
    were not put yet. `fed` are the programs that this turn told something; `turn` is the seq of its input. `people`
    counts calls that wait for a person. A fork names its `parent`, and the `root` of all parents; a run that is no
    fork is its own root. `tree` is where the run started, and when it has ended its result.
    """

    accounts: Map[str, Account] = Map()
    active_us: int = 0
    agenda: Agenda | None = None
    at: int = 0
    attend: tuple[Position, ...] = ()
    blocks: Map[StepPath, Block] = Map()
    calls: Map[Position, Call] = Map()
    doubtful: tuple[DoubtfulCall, ...] = ()
    fed: tuple[StepPath, ...] = ()
    final_tree: Digest | None = None
    group_open: Map[str, int] = Map()
    head: Digest = Digest("0" * 64)
    in_doubt: Amount = NOTHING
    limits_added: Amount = NOTHING
    max_parallel: int = 1
    merges_open: int = 0
    open_calls: int = 0
    outputs: Content | None = None
    parent: RunId | None = None
    parked: int = 0
    pass_after: Order | None = None
    people: int = 0
    plan: Digest = Digest("")
    queue: Map[str, Agenda] = Map()
    queued: int = 0
    refusing: bool = False
    result: Digest | None = None
    root: RunId = RunId("")
    run: RunId = RunId("")
    seed: str = ""
    seq: int = -1
    spec: RunSpec
    spent: Amount = NOTHING
    status: RunStatus = "new"
    steps: Map[StepPath, StepState] = Map()
    time_limit_us: int | None = None
    timers: Map[str, int] = Map()
    tree: Digest = Digest("")
    turn: int = -1
    why: str = ""

    @property
    def logic(self) -> int:
        """The version of the kernel's decisions that the run follows, from its start to its end."""
        return self.spec.logic

    @property
    def ended(self) -> bool:
        return self.status in ("ok", "failed", "cancelled")

    def spec_of(self, step: StepState) -> RunSpec:
        """The compiled plan that a step belongs to."""
        return self.spec if step.block == ROOT else self.block_spec(step.block)

    def block_spec(self, block: StepPath) -> RunSpec:
        """The compiled plan of a block."""
        if block == ROOT:
            return self.spec
        owner = self.steps[block]
        return self.spec_of(owner).inner(owner.name, self.blocks[block].produced)

    def compiled(self, step: StepState) -> StepSpec:
        """A step of a plan, compiled."""
        return self.spec_of(step).step(step.name)

    def start_tree(self, step: StepState) -> Digest:
        """The tree that a step has before anything is known of it: that of its plan's start."""
        return self.blocks[step.block].tree

    def members(self, block: StepPath) -> Iterator[StepState]:
        """The steps of a block's plan, in plan order."""
        prefix = f"{block}/" if block else ""
        for step in self.block_spec(block).plan.steps:
            yield self.steps[StepPath(prefix + step.name)]

    def account(self, name: str) -> Account:
        """The account of that name; a step that has not started has its share of the plan."""
        found = self.accounts.get(name)
        if found is not None:
            return found
        index = self.spec.index.get(name)
        return Account() if index is None else Account(granted=self.spec.shares[index])

"""`ExecutionState`: the fold of a journal. Immutable; an older one stays valid, which is the rollback.

What can be computed again from plan, registry and state (prompts, fingerprints, scopes) is not in it. Ready sets
and counters are, so that deciding costs what became ready and not the whole plan.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from immutables import Map

from tenuto.core.agenda import Agenda, Order
from tenuto.core.budget import NOTHING, Account, Amount
from tenuto.core.content import Content
from tenuto.core.events.call import Part
from tenuto.core.events.program import Ask
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, Position, RunId, StepPath
from tenuto.core.models import ModelConfig
from tenuto.core.spec import RunSpec

__all__ = [
    "AgentFrame",
    "Call",
    "CommandFrame",
    "DoubtfulCall",
    "Exchange",
    "ExecutionState",
    "Expansion",
    "Fed",
    "Gather",
    "ProgramFrame",
    "RunStatus",
    "StepState",
    "StepStatus",
    "Verdict",
]

RunStatus = Literal["new", "running", "exhausted", "cancelling", "ok", "failed", "cancelled"]
StepStatus = Literal[
    "waiting", "merging", "ready", "running", "backoff", "expanded", "completed", "failed", "skipped", "cancelled"
]
ENDED: frozenset[StepStatus] = frozenset(("completed", "failed", "skipped", "cancelled"))
CallStatus = Literal["queued", "open", "parked", "backoff", "lost", "doubt"]


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


Frame = AgentFrame | CommandFrame | ProgramFrame


class Expansion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A `foreach` that knows its children. `failing`: index of the first failed child under `on_error: fail`."""

    failing: int | None = None
    items: tuple[msgspec.Raw, ...]
    keys: tuple[str, ...]
    next_child: int = 0
    running: int = 0
    share: Amount | None = None
    unfinished: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an attempt comes to: an output or a failure."""

    failure: Failure | None = None
    output: Content | None = None


class StepState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One step, child, or step of an ask. `verdict` is what the last outcome meant, until a record says so.
    `model_config` holds the pinned parameters of the step's last model call.
    """

    account: str
    answers: dict[str, tuple[Position, Content]] = {}
    asked: Ask | None = None
    asked_by: Position | None = None
    attempt: int = 0
    child_index: int = -1
    due: bool = False
    error: Failure | None = None
    expansion: Expansion | None = None
    child_leaves: tuple[tuple[str, Digest], ...] = ()
    fingerprints: tuple[tuple[Position, Digest], ...] = ()
    frame: Frame | None = None
    key: Digest | None = None
    keys_seen: dict[str, int] = {}
    leaf: Digest | None = None
    missing: int = 0
    model_config: ModelConfig | None = None
    name: str
    open_calls: int = 0
    order: Order
    out_tree: Digest | None = None
    output: Content | None = None
    parent: StepPath | None = None
    path: StepPath
    refusals: tuple[Position, ...] = ()
    status: StepStatus = "waiting"
    tree: Digest | None = None
    verdict: Verdict | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A call that is not over. `failures` counts tries that failed for transport reasons (crashes do not)."""

    account: str
    effect: str = ""
    failures: int = 0
    group: str = ""
    hold: Amount = NOTHING
    key: Digest | None = None
    kind: Literal["model", "tool", "merge"]
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
        """Whether a person must say what became of it."""
        return self.status == "doubt" and not self.reconcilable

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

    `queue` holds the calls that wait for a place, first come first served, by group (an agent with a limit of its
    own is a group); `open_calls` counts what holds a place. `timers` maps what waits to its due time. `attend` are
    calls that need a decision: lost ones, failed tries. `fed` are the programs that this turn told something.
    `people` counts calls that wait for a person.
    """

    accounts: Map[str, Account] = Map()
    active_us: int = 0
    agenda: Agenda | None = None
    at: int = 0
    attend: tuple[Position, ...] = ()
    calls: Map[Position, Call] = Map()
    doubtful: tuple[DoubtfulCall, ...] = ()
    failing: Order | None = None
    fed: tuple[StepPath, ...] = ()
    final_tree: Digest | None = None
    group_open: Map[str, int] = Map()
    head: Digest = Digest("0" * 64)
    in_doubt: Amount = NOTHING
    inputs: Content | None = None
    limits_added: Amount = NOTHING
    logic: int = 1
    max_parallel: int = 1
    merges_open: int = 0
    open_calls: int = 0
    outputs: Content | None = None
    parked: int = 0
    pass_after: Order | None = None
    people: int = 0
    plan: Digest = Digest("")
    queue: Map[str, Agenda] = Map()
    queued: int = 0
    refusing: bool = False
    result: Digest | None = None
    run: RunId = RunId("")
    seed: str = ""
    seq: int = -1
    spec: RunSpec
    spent: Amount = NOTHING
    status: RunStatus = "new"
    steps: Map[StepPath, StepState] = Map()
    sweep: int = 0
    time_limit_us: int | None = None
    timers: Map[str, int] = Map()
    tree: Digest = Digest("")
    unfinished: int = 0
    why: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("ok", "failed", "cancelled")

    def account(self, name: str) -> Account:
        """The account of that name; a step that has not started has its share of the plan."""
        found = self.accounts.get(name)
        if found is not None:
            return found
        index = self.spec.index.get(name)
        return Account() if index is None else Account(granted=self.spec.shares[index])

"""What a fork may take over from the run it was made of: an artifact that the fork's first record names.

The table is made once, when the fork starts (`core.reusable`), and holds all that taking a result needs. So a fork
depends on no other journal: it replays without its parent, and deleting the parent cannot break it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

from tenuto.core.content import Content
from tenuto.core.events.step import Source
from tenuto.core.ids import Digest, Position, StepPath
from tenuto.core.models import ModelConfig
from tenuto.core.normal import normal

__all__ = ["NOTHING_REUSABLE", "OutsideCall", "Reached", "Reusable", "ReuseTable", "read_table", "write_table"]


class Reached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a program reached through `ctx`: a tool or an agent by `name`, or a model, lent by the agent `name`."""

    kind: Literal["agent", "model", "tool"]
    max_tokens: int | None = None
    model: str | None = None
    name: str | None = None


class Reusable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The result of one step that completed, with what its leaf is made of.

    `given` is the tree that the step was given and `made` what it made of that; `tree` is its output tree, another
    one where `reads` narrows its view. `last_key` is the step key of the attempt that succeeded (another agent may
    have taken over), `route` the number of agents that failed before, `config` the digest of all that its calls were
    made of beyond the step key, `reached` what of the run's registry a program used.
    """

    child_leaves: tuple[tuple[str, Digest], ...] = ()
    config: Digest
    fingerprints: tuple[tuple[Position, Digest], ...] = ()
    given: Digest
    last_key: Digest
    leaf: Digest
    made: Digest
    model_config: ModelConfig | None = None
    output: Content
    path: StepPath
    reached: tuple[Reached, ...] = ()
    refusals: tuple[Position, ...] = ()
    route: int = 0
    source: Source
    tree: Digest


class OutsideCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A call with an outside effect that was made, or may have been. `step` is the step of the plan it belongs to."""

    arguments: Content
    call: str
    step: StepPath
    tool: str


class ReuseTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """Results by step key (that of a first attempt), and the outside calls that a fork repeats only when told to."""

    entries: dict[Digest, Reusable] = {}
    outside: tuple[OutsideCall, ...] = ()

    @cached_property
    def outside_by_step(self) -> dict[tuple[StepPath, str], OutsideCall]:
        """The last outside call of each step and tool."""
        return {(call.step, call.tool): call for call in self.outside}


NOTHING_REUSABLE = ReuseTable()
"""The table of a run that is no fork."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(ReuseTable).decode


def write_table(table: ReuseTable) -> bytes:
    """The bytes whose digest `RunForked` names: canonical JSON."""
    return _encode(normal(table))


def read_table(data: bytes) -> ReuseTable:
    """Raises ValueError for bytes that are no table of this version."""
    return _decode(data)

"""What the bus carries: recorded events, after they are durable."""

from __future__ import annotations

import msgspec

from tenuto.core.events import Event
from tenuto.core.ids import Digest, RunId
from tenuto.core.state import ExecutionState

__all__ = ["Published"]


class Published(msgspec.Struct, frozen=True, gc=False):
    """One durable record as subscribers see it. `state` is the state after the commit that made it durable."""

    run: RunId
    seq: int
    at_us: int
    hash: Digest
    event: Event
    state: ExecutionState

"""What tenuto is tested with, for your tests too: assertions, fixtures, simulators, contract suites.

The names here are imported when they are first used; the modules have more.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; every `pytest` of an environment with tenuto comes by here
if TYPE_CHECKING:
    from tenuto.testing.assertions import assert_replays, assert_under_budget, crash_at
    from tenuto.testing.clock import ManualClock
    from tenuto.testing.contracts.artifacts import ArtifactStoreContract
    from tenuto.testing.contracts.journal import JournalContract
    from tenuto.testing.contracts.model import ModelContract
    from tenuto.testing.contracts.tool import ToolContract
    from tenuto.testing.sim import Simulation

_HOMES = {
    "ArtifactStoreContract": "tenuto.testing.contracts.artifacts",
    "JournalContract": "tenuto.testing.contracts.journal",
    "ManualClock": "tenuto.testing.clock",
    "ModelContract": "tenuto.testing.contracts.model",
    "Simulation": "tenuto.testing.sim",
    "ToolContract": "tenuto.testing.contracts.tool",
    "assert_replays": "tenuto.testing.assertions",
    "assert_under_budget": "tenuto.testing.assertions",
    "crash_at": "tenuto.testing.assertions",
}

__all__ = [
    "ArtifactStoreContract",
    "JournalContract",
    "ManualClock",
    "ModelContract",
    "Simulation",
    "ToolContract",
    "assert_replays",
    "assert_under_budget",
    "crash_at",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value

"""The pytest plugin: recorded runs as tests, and fixtures.

Every file `*.tenuto` that pytest meets is a test: the run in it must replay under the plan, prompts, agents and tools
of today. Loaded with every `pytest` of an environment that has tenuto, so nothing but pytest is imported before it is
used; `-p no:tenuto` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from tenuto.adapters.models.script import ScriptedReply
    from tenuto.adapters.models.scripted import ScriptedModel
    from tenuto.core.plan import Plan
    from tenuto.testing.clock import ManualClock
    from tenuto.testing.sim import Simulation

SUFFIX = ".tenuto"


class RecordedRunFile(pytest.File):
    """A bundle in the tree of tests."""

    def collect(self) -> Iterator[pytest.Item]:
        yield RecordedRunItem.from_parent(self, name="replays")


class RecordedRunItem(pytest.Item):
    """The run of a bundle replays under what its project holds now."""

    def runtest(self) -> None:
        from tenuto.testing.assertions import assert_replays

        assert_replays(self.path)

    def repr_failure(
        self, excinfo: ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:  # a failure of ours is a message, not a traceback
        from tenuto.errors import TenutoError

        if isinstance(excinfo.value, (AssertionError, TenutoError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.name}: replays"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A bundle is a test, wherever it lies."""
    return RecordedRunFile.from_parent(parent, path=file_path) if file_path.suffix == SUFFIX else None


@pytest.fixture
def tenuto_clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    from tenuto.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def tenuto_model() -> Callable[..., ScriptedModel]:
    """Makes a model that says what the test wants: `tenuto_model("yes", ScriptedReply(step="b", text="no"))`.

    A text answers every request that nothing before it answers.
    """
    from tenuto.adapters.models.script import ScriptedReply
    from tenuto.adapters.models.scripted import ScriptedModel

    def make(*replies: str | ScriptedReply) -> ScriptedModel:
        return ScriptedModel([ScriptedReply(text=reply) if isinstance(reply, str) else reply for reply in replies])

    return make


@pytest.fixture
def tenuto_engine() -> Callable[..., Simulation]:
    """Makes a whole engine in memory for one run: `tenuto_engine(plan_or_path, model=..., files={...}).run()`.

    Time moves by itself when everything waits. The other options are those of `tenuto.testing.sim.Simulation`.
    """
    from tenuto.testing.sim import Simulation

    def make(plan: Plan | str | Path, **options: Any) -> Simulation:
        if isinstance(plan, (str, Path)):
            from tenuto.adapters.plans.plan_file import load_plan

            loaded = load_plan(Path(plan))
            options.setdefault("agents", loaded.agents.values())
            return Simulation(loaded.plan, **options)
        return Simulation(plan, **options)

    return make

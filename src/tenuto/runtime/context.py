"""`ctx`: the only way of a Python step program to the world.

Every request is a value that the engine records; the program is suspended until its outcome is recorded too. The
awaitables here yield to the engine and to nothing else: awaiting anything foreign (asyncio.sleep, a socket) is
refused with the `ctx` call to use instead. That is what makes a program repeatable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from random import Random  # noqa: TID251  # a seeded generator is arithmetic: it is given its seed here
from typing import TYPE_CHECKING, Any, Generic

from tenuto.core.budget import Limits
from tenuto.core.canonical import canonical, clean
from tenuto.core.content import Content
from tenuto.core.events.program import Ask, AskAgent, AskModel, AskPerson, AskTool, OpenLanes, Sleep
from tenuto.core.events.step import Failure
from tenuto.core.seeds import fraction
from tenuto.ports.programs import DepsCarrier

__all__ = ["AskError", "Context", "Inputs", "Lane", "Lanes", "Waiting"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers know it without its being installed

    Deps = TypeVar("Deps", default=Any)
else:
    from typing import TypeVar

    Deps = TypeVar("Deps")

LANES_MAX = 1_000


class AskError(Exception):
    """A request of a program failed: the recorded failure, as a value to handle. `kind` is what to decide by."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.kind = failure.kind
        self.failure = failure


class Waiting:
    """What a program yields: it waits for the outcome of one request, or for the lanes of a gather."""

    __slots__ = ("ask", "lanes")

    def __init__(self, ask: Ask, lanes: tuple[Coroutine[Any, Any, Any], ...] = ()) -> None:
        self.ask = ask
        self.lanes = lanes

    def __await__(self) -> Generator[Waiting, Any, Any]:
        return (yield self)


class Lane:
    """Where a coroutine stands: its ordinals' prefix, how many it has used, the time of what it was told last."""

    __slots__ = ("at_us", "number", "prefix", "randoms")

    def __init__(self, prefix: str, at_us: int) -> None:
        self.prefix = prefix
        self.number = 0
        self.randoms = 0
        self.at_us = at_us

    def next(self) -> str:
        ordinal = f"{self.prefix}.{self.number}" if self.prefix else str(self.number)
        self.number += 1
        return ordinal


class Lanes:
    """Which lane is running now; set by the host around each resumption."""

    __slots__ = ("current",)

    def __init__(self, first: Lane) -> None:
        self.current = first


class Context(DepsCarrier[Deps], Generic[Deps]):
    """What a step program gets. All values it takes and gives are JSON, except `deps`."""

    def __init__(self, *, run_seed: str, step: str, attempt: int, lanes: Lanes, deps: Deps) -> None:
        self._deps = deps
        self._seed = run_seed
        self._step = step
        self._attempt = attempt
        self._lanes = lanes

    @property
    def deps(self) -> Deps:
        """What the caller of the run gave to programs annotated `Context[Deps]`; None for others. Never recorded.

        A replay without it lists such a program as unchecked. With it, the program must ask what it asked before.
        """
        return self._deps

    @property
    def step(self) -> str:
        """The path of this step."""
        return self._step

    @property
    def attempt(self) -> int:
        return self._attempt

    @property
    def now_us(self) -> int:
        """UTC microseconds: the recorded time of the input this lane was told last. Equal on replay."""
        return self._lanes.current.at_us

    def now(self) -> int:
        """The same as `now_us`."""
        return self.now_us

    def random(self) -> Random:
        """A generator seeded by the run's seed and this place in the program. Equal on replay."""
        lane = self._lanes.current
        lane.randoms += 1
        where = f"{self._step}/{self._attempt}/{lane.prefix}:{lane.number}:{lane.randoms}"
        return Random(int(fraction(self._seed, where) * (1 << 56)))

    def model(
        self,
        prompt: Any,
        *content: Any,
        agent: str | None = None,
        system: str | None = None,
        output: Mapping[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> Waiting:
        """One model call; gives its text, or the parsed value where `output` is a JSON Schema. AskError if it fails.

        `content` are texts or JSON values that follow the prompt, each after an empty line.
        """
        if content:
            prompt = "\n\n".join(_text(part) for part in (prompt, *content))
        return Waiting(
            AskModel(
                agent=agent,
                max_tokens=max_tokens,
                model=model,
                ordinal="",
                prompt=Content.of(clean(prompt)),
                schema=None if output is None else Content.of(clean(output)),
                system=None if system is None else Content.of(clean(system)),
            )
        )

    def tool(self, name: str, /, **arguments: Any) -> Waiting:
        """One tool call; gives the tool's value. AskError of kind `tool` where the tool reports an error."""
        return Waiting(AskTool(arguments=Content.of(clean(arguments)), ordinal="", tool=name))

    def ask(
        self,
        agent: str,
        task: Any,
        *,
        output: Mapping[str, Any] | None = None,
        budget: Limits | None = None,
    ) -> Waiting:
        """Let another agent work on a task as a child step; gives its output. AskError if the child fails."""
        schema = None if output is None else Content.of(clean(output))
        return Waiting(AskAgent(agent=agent, budget=budget, ordinal="", schema=schema, task=Content.of(clean(task))))

    def approve(self, question: str, *, details: Any = None, expires_ms: int | None = None) -> Waiting:
        """Ask a person; gives `{approved, who, note, details}`, for a rejection too.

        AskError of kind `expired` where nobody answers in time. `details` is what they see with the question; the
        answer holds it as they left it.
        """
        return Waiting(
            AskPerson(
                details=None if details is None else Content.of(clean(details)),
                expires_ms=None if expires_ms is None else max(1, int(expires_ms)),
                ordinal="",
                question=Content.of(clean(question)),
            )
        )

    def sleep(self, duration_ms: int) -> Waiting:
        """A timer that is recorded; replay does not wait."""
        return Waiting(Sleep(duration_ms=max(0, int(duration_ms)), ordinal=""))

    def gather(self, *lanes: Waiting | Coroutine[Any, Any, Any]) -> Waiting:
        """Run lanes side by side, each with an equal part of the budget; gives their values in listed order.

        The first failing lane (in listed order) raises its error once all have ended.
        """
        if len(lanes) > LANES_MAX:
            raise ValueError(f"a gather has at most {LANES_MAX} lanes")
        for lane in lanes:
            if isinstance(lane, (asyncio.Future, asyncio.Task)):
                raise TypeError("ctx.gather takes ctx calls and coroutines, no asyncio tasks")
        coroutines = tuple(_one(lane) if isinstance(lane, Waiting) else lane for lane in lanes)
        return Waiting(OpenLanes(lanes=len(coroutines), ordinal=""), coroutines)


def _text(part: Any) -> str:
    return part if isinstance(part, str) else canonical(clean(part)).decode()


class Inputs(dict[str, Any]):
    """The values of a step (`with:`), as a dict whose keys are attributes too; `item` and `key` in a `foreach`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the step has no input {name!r}; it has: {', '.join(sorted(self))}") from None


async def _one(waiting: Waiting) -> Any:
    return await waiting

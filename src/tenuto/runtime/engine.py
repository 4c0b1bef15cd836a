"""`PlanExecutionEngine`: executes and resumes runs of plans. Everything it needs comes by constructor.

Any number of engines live in one process and share nothing but what they are given. One engine drives any number
of runs at once, each with its own driver; only the engine that holds a run's lease writes its journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from msgspec.structs import replace

from tenuto.core.agent_work import MODEL_DEFAULT
from tenuto.core.agents import AgentSpec
from tenuto.core.bodies import read_lock, read_plan, read_registry, write_body
from tenuto.core.budget import NOTHING, Amount, Limits
from tenuto.core.canonical import clean, digest
from tenuto.core.content import Content
from tenuto.core.events import Input
from tenuto.core.events.run import RunForked, RunResumed, RunStarted
from tenuto.core.evolve import start
from tenuto.core.ids import Digest, RunId, StepPath
from tenuto.core.pinning import unpinned_models
from tenuto.core.plan import Lock, Plan, PromptWork, Registry, Step, UsesWork, every_step, plans_within
from tenuto.core.pricing import unknown_prices
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.core.requests import CancelRun, Request, read_request, request_key, write_request
from tenuto.core.seeds import run_seed
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.errors import AccountChangedError, InvalidPlanError, RefusedRequestError, StorageError, UsageError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Fence, Journal, Session
from tenuto.ports.model import ModelProvider
from tenuto.ports.plans import PlanReader
from tenuto.ports.programs import Program, ProgramSource
from tenuto.ports.tools import Tools
from tenuto.ports.workspace import Workspace
from tenuto.runtime.bus import EventBus
from tenuto.runtime.contents import Contents
from tenuto.runtime.driver import Load, RunDriver
from tenuto.runtime.foreseeing import foreseen
from tenuto.runtime.forking import Origin, Parent, forked, read_parent
from tenuto.runtime.imported import refuse_imported
from tenuto.runtime.loading import load_state
from tenuto.runtime.pacing import Pace, ProviderLimits
from tenuto.runtime.perform import Effects
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.rerun import program_inputs, rerun_programs

__all__ = ["PlanExecutionEngine"]

INBOX_POLL_US = 250_000
GRACE_US = 5_000_000


class PlanExecutionEngine:
    """Drives runs. `execute` and `resume` return the state the run was left in: ended, exhausted or waiting.

    `limits` bounds every run beside its plan's own budget (the smaller holds). `max_parallel` bounds open calls of
    a run, and `providers` how fast each provider of models is asked by all runs together. `environment` is what steps
    may be granted of the process environment, and `secrets` which values by name; `redactor` takes them out of
    everything that enters a run (the workspace is given it too). `inbox_poll_us` None: requests of other processes
    are read when a run is opened only.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        artifacts: ArtifactStore,
        models: ModelProvider,
        tools: Tools,
        workspace: Callable[[Contents], Workspace],
        clock: Clock,
        programs: ProgramSource | None = None,
        plans: PlanReader | None = None,
        bus: EventBus | None = None,
        limits: Limits | None = None,
        max_parallel: int = 4,
        providers: Mapping[str, ProviderLimits] | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        redactor: Redactor = NOTHING_SECRET,
        sandbox: str = "",
        worker: str = "engine",
        inbox_poll_us: int | None = INBOX_POLL_US,
        grace_us: int = GRACE_US,
    ) -> None:
        self._journal = journal
        self._artifacts = artifacts
        self._models = models
        self._tools = tools
        self._clock = clock
        self._programs = programs
        self._limits = limits or Limits()
        self._max_parallel = max_parallel
        self._provider_places = {n: limits.at_once for n, limits in (providers or {}).items() if limits.at_once}
        self._sandbox = sandbox
        self._worker = worker
        self._inbox_poll_us = inbox_poll_us
        self._grace_us = grace_us
        self.bus = bus or EventBus()
        self.live = EventBus()
        """What is for the eye and not recorded: `LiveText` of answers on their way, `ProviderRests`. Models are asked
        to stream only where somebody listens for `LiveText`."""
        self.contents = Contents(journal, artifacts)
        self.workspace = workspace(self.contents)
        self._redactor = redactor
        self._effects = Effects(
            clock=clock,
            models=models,
            pace=Pace(providers or {}, clock, self.live.emit),
            tools=tools,
            workspace=self.workspace,
            environment=environment or {},
            secrets=secrets or {},
            live=self.live,
            plans=plans,
            redactor=redactor,
        )
        self._load = Load()
        self._session: Session | None = None
        self._opening = asyncio.Lock()
        self._drivers: dict[RunId, RunDriver] = {}
        self._claiming: set[RunId] = set()
        self._left: asyncio.Event | None = None
        self._poller: asyncio.Task[None] | None = None

    # --- runs -------------------------------------------------------------------------------------------------

    async def execute(
        self,
        plan: Plan,
        repo: Path | Digest | str,
        run_id: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        agents: Mapping[str, AgentSpec] | None = None,
        places: Mapping[str, str] | None = None,
        model: str | None = None,
        seed: str | None = None,
        max_parallel: int | None = None,
        commit: str | None = None,
        strict: bool = False,
        origin: Origin | None = None,
        tree: Digest | None = None,
    ) -> ExecutionState:
        """Start a run of `plan` over a repository (a directory, or the digest of a tree) and drive it.

        `tree` is what the run starts from where that is not what the directory holds now.

        With an `origin` it is a fork: results of that run are taken where the step key is equal, and only the other
        steps are executed. The seed is then that run's too, unless one is given.

        `model` overrides every model of the plan; `seed` is the run seed (default: hash of the run's id). A `strict`
        run asks no model that would drop temperature, top_p or seed, after a resume neither. UsageError
        (InvalidPlanError, RefusedRequestError) before anything is recorded; FencedError and StorageError when the
        run cannot go on here. Everything else that goes wrong is in the run's state.
        """
        spec, first, founding = await self._founding(
            plan,
            repo,
            run_id,
            inputs=inputs,
            agents=agents,
            places=places,
            model=model,
            seed=seed,
            max_parallel=max_parallel,
            commit=commit,
            strict=strict,
            tree=tree,
            is_fork=origin is not None,
        )
        if origin is None:
            return await self._drive(start(spec), None, first, {}, founding)
        parent = await read_parent(self._journal, self.contents, origin)
        while True:
            forked_spec, first_of_fork = await self._forked(spec, first, origin, parent)
            try:
                return await self._drive(start(forked_spec), None, first_of_fork, {}, (*founding, parent.body))
            except AccountChangedError:
                """Another fork was faster: see what it left."""

    async def foresee(
        self, plan: Plan, repo: Path | Digest | str, run_id: str, *, origin: Origin, **options: Any
    ) -> ExecutionState:
        """What `execute` would come to with the same arguments before anything is asked of a model or a tool.

        Results are taken over, trees merged and produced plans read; what is open then would be executed. Nothing is
        recorded, and no session opened.
        """
        spec, first, _ = await self._founding(plan, repo, run_id, is_fork=True, **options)
        parent = await read_parent(self._journal, self.contents, origin)
        forked_spec, first_of_fork = await self._forked(spec, first, origin, parent)
        return await foreseen(start(forked_spec), first_of_fork, self._effects, at=self._clock.now_us())

    async def _forked(
        self, spec: RunSpec, first: RunStarted, origin: Origin, parent: Parent
    ) -> tuple[RunSpec, RunForked]:
        account = {} if origin.own_budget else await self._journal.account(parent.root)
        made = forked(first, spec, parent, origin, account)
        return spec.forked(made.budget, parent.table), made

    async def _founding(
        self,
        plan: Plan,
        repo: Path | Digest | str,
        run_id: str,
        *,
        inputs: Mapping[str, Any] | None,
        agents: Mapping[str, AgentSpec] | None,
        places: Mapping[str, str] | None,
        model: str | None,
        seed: str | None,
        max_parallel: int | None,
        commit: str | None,
        strict: bool,
        tree: Digest | None,
        is_fork: bool,
    ) -> tuple[RunSpec, RunStarted, tuple[bytes, ...]]:
        """What a run is made of, its first record, and the bodies that this names."""
        run = RunId(run_id)
        spec, founding = self._specify(plan, agents or {}, places or {}, model, strict=strict)
        plan_body, registry_body, lock_body = founding
        if tree is None:
            tree = repo if _is_digest(repo) else await self.workspace.capture(Path(repo))
        first = RunStarted(
            budget=spec.plan.budget,
            commit=commit,
            inputs=Content.of(clean(dict(inputs or {}))),
            lock=digest(lock_body),
            logic=spec.logic,
            max_parallel=max_parallel or self._max_parallel,
            plan=digest(plan_body),
            registry=digest(registry_body),
            repository=_place_of(repo),
            run=run,
            seed=seed or ("" if is_fork else run_seed(run)),
            tree=tree,
        )
        self._require_secrets(step for _, step in every_step(spec.plan))
        for body in founding:
            self._refuse_secrets(body)
        return spec, first, founding

    async def resume(
        self,
        run_id: str,
        *,
        add_budget: Amount = NOTHING,
        add_time_ms: int = 0,
        max_parallel: int | None = None,
    ) -> ExecutionState:
        """Continue a run from its journal. What was recorded is never executed again.

        RefusedRequestError when it has ended, or was imported; FencedError when a live engine has it; DivergedError
        when the code of an unfinished Python step has changed (nothing is recorded then). NewerStoreError when the
        journal holds what this tenuto does not know: then nothing in the store is touched.
        """
        run = RunId(run_id)
        await refuse_imported(self._journal, self._artifacts, run)
        seen = await load_state(self._journal, self.contents, run)
        session = await self._open_session()
        # Claiming raises the epoch: a run that this engine drives would fence itself.
        if run in self._drivers or run in self._claiming:
            raise _driven(run)
        self._claiming.add(run)
        try:
            return await self._resume(
                seen, session, add_budget=add_budget, add_time_ms=add_time_ms, max_parallel=max_parallel
            )
        finally:
            self._claiming.discard(run)

    async def _resume(
        self,
        seen: ExecutionState,
        session: Session,
        *,
        add_budget: Amount,
        add_time_ms: int,
        max_parallel: int | None,
    ) -> ExecutionState:
        run = seen.run
        fence, head = await self._journal.claim(run, session)
        try:
            is_current = (seen.seq, seen.head) == (head.seq, head.hash)
            state = seen if is_current else await load_state(self._journal, self.contents, run)
            if state.ended:
                raise RefusedRequestError(
                    f"run {run} has ended ({state.status})", fix=f"see `tenuto show {run}`; start a new run to go on"
                )
            self._require_secrets(step for name, step in every_step(state.spec.plan) if not _over(state, name))
            if state.spec.lock.strict:  # what is known of a model may have changed since
                for refusal in unpinned_models({n: self._models.profile(n) for n in state.spec.lock.profiles}):
                    raise refusal
            programs = rerun_programs(state, self._programs, self._redactor)
        except BaseException:
            await self._journal.release(fence)
            raise
        first = RunResumed(
            add_budget=add_budget,
            add_time_ms=add_time_ms,
            max_parallel=max_parallel or state.max_parallel,
        )
        return await self._drive(state, fence, first, programs)

    async def _drive(
        self,
        state: ExecutionState,
        fence: Fence | None,
        first: Input,
        programs: dict[StepPath, RunningProgram],
        founding: Sequence[bytes] = (),
    ) -> ExecutionState:
        session = await self._open_session()
        run = first.run if isinstance(first, RunStarted) else state.run
        if run in self._drivers:
            raise _driven(run)
        driver = RunDriver(
            state=state,
            fence=fence,
            journal=self._journal,
            session=session,
            large=self._artifacts,
            effects=self._effects,
            clock=self._clock,
            bus=self.bus,
            load=self._load,
            start_program=self._start_program,
            programs=programs,
            grace_us=self._grace_us,
            founding=founding,
            redactor=self._redactor,
        )
        self._drivers[run] = driver
        try:
            if fence is not None:
                await self._offer_asked(run, driver)
            self._poll_inbox()
            await driver.drive(first)
            return driver.state
        finally:
            del self._drivers[run]
            try:
                if driver.fence is not None:
                    await self._journal.release(driver.fence)
            finally:
                if self._left is not None and not self._drivers:
                    self._left.set()

    async def cancel(self, run_id: str, *, reason: str = "", who: str = "") -> None:
        """Ask for a run's cancellation, in this engine or another. RefusedRequestError when it makes no sense."""
        await self.request(run_id, CancelRun(reason=reason, who=who))

    async def request(self, run_id: str, request: Request) -> None:
        """Put a request into a run's inbox. The first answer for a call wins: later ones are refused."""
        run = RunId(run_id)
        driver = self._drivers.get(run)
        if driver is not None:
            state = driver.state
        else:
            state = await load_state(self._journal, self.contents, run)
        await self.ask(state, request)

    async def ask(self, state: ExecutionState, request: Request) -> None:
        """As `request`, for a state at hand."""
        answer = await self._journal.ask(
            state.run, request_key(request, state), write_request(self._redactor.event(request))
        )
        if not answer.accepted:
            raise RefusedRequestError(
                f"{request_key(request, state)} of run {state.run} was answered before", fix="see `tenuto events`"
            )
        driver = self._drivers.get(state.run)
        if driver is not None:
            await self._offer_asked(state.run, driver)

    def stop(self) -> None:
        """Leave all runs as they are, resumable. Returns at once; `execute` and `resume` return soon after."""
        for driver in self._drivers.values():
            driver.stop()

    async def close(self) -> None:
        """Leave all runs and give everything back that this engine opened. Idempotent."""
        self.stop()
        if self._drivers:
            # The commits under way must find the session alive.
            self._left = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace_us / 1_000_000):
                    await self._left.wait()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
            self._poller = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self.workspace.close()

    # --- what a run is made of --------------------------------------------------------------------------------

    def _specify(
        self,
        plan: Plan,
        agents: Mapping[str, AgentSpec],
        places: Mapping[str, str],
        model: str | None,
        *,
        strict: bool,
    ) -> tuple[RunSpec, tuple[bytes, bytes, bytes]]:
        """What the run is made of, and its bodies (plan, registry, lock) as they are stored."""
        plan = replace(plan, budget=_tighter(plan.budget, self._limits))
        registry = Registry(agents=dict(agents), tools={spec.name: spec for spec in self._tools.specs()})
        steps = dict(every_step(plan))
        missing = {name for step in steps.values() for name in _named_agents(step) if name not in registry.agents}
        if missing:
            raise InvalidPlanError(f"the plan names agents that are not there: {', '.join(sorted(missing))}")
        programs = {
            name: self._load_program(step.work.target)
            for name, step in steps.items()
            if isinstance(step.work, UsesWork)
        }
        lock = Lock(
            at_once=self._provider_places,
            code={name: program.code for name, program in programs.items()},
            guarded=any(program.guard is not None for program in programs.values()),
            model=model,
            modules={name: program.modules for name, program in programs.items() if program.modules is not None},
            places=dict(places),
            sandbox=self._sandbox,
            strict=strict,
        )
        spec = RunSpec(plan, registry, lock)
        names = {model} if model else self._model_names(plan, registry)
        profiles = {name: self._models.profile(name) for name in sorted(names)}
        for refusal in (*(unpinned_models(profiles) if strict else ()), *unknown_prices(spec, profiles)):
            raise refusal
        lock = replace(lock, profiles=profiles)
        # As replay will read them: equal values made elsewhere may be written otherwise (defaults left out or not).
        founding = (write_body(plan), write_body(registry), write_body(lock))
        return RunSpec(read_plan(founding[0]), read_registry(founding[1]), read_lock(founding[2])), founding

    def _require_secrets(self, steps: Iterable[Step]) -> None:
        missing = {name for step in steps for name in step.grants.secrets} - self._effects.secrets.keys()
        if missing:
            raise UsageError(
                f"a step needs the secret {min(missing)}, and this engine has none of that name",
                fix="declare it in the configuration and give it its value",
            )

    def _refuse_secrets(self, body: bytes) -> None:
        """A plan, an agent or a path that holds a secret would be stored as it is."""
        found = self._redactor.find(body)
        if found is not None:
            raise InvalidPlanError(
                f"the plan or its agents hold the value of the secret {found.name}",
                fix=f"take it out, and give the secret by name: grants: {{ secrets: [{found.name}] }}",
            )

    @staticmethod
    def _model_names(plan: Plan, registry: Registry) -> set[str]:
        names = {agent.model for agent in registry.agents.values()}
        for _, part in plans_within(plan):
            names |= {step.model for step in part.steps} | {part.defaults.model}
        return {name for name in names if name} | {plan.defaults.model or MODEL_DEFAULT}

    def _load_program(self, target: str) -> Program:
        if self._programs is None:
            raise UsageError(f"this engine was given no source of programs for {target}")
        return self._programs.load(target)

    def _start_program(self, state: ExecutionState, path: StepPath) -> RunningProgram:
        step = state.steps[path]
        target = state.compiled(step).target
        return RunningProgram(
            self._load_program(target),
            path=path,
            attempt=step.attempt,
            inputs=program_inputs(state, step),
            seed=state.seed,
            at_us=state.at,
            guarded=state.spec.lock.guarded,
        )

    # --- sessions and inbox -----------------------------------------------------------------------------------

    async def _open_session(self) -> Session:
        async with self._opening:
            if self._session is None:
                self._session = await self._journal.open_session(self._worker)
            return self._session

    def _poll_inbox(self) -> None:
        if self._inbox_poll_us is not None and (self._poller is None or self._poller.done()):
            self._poller = asyncio.get_running_loop().create_task(self._poll(self._inbox_poll_us))

    async def _poll(self, every_us: int) -> None:
        """Look for requests of other processes while runs are open."""
        while self._drivers:
            await self._clock.sleep(every_us)
            for run, driver in list(self._drivers.items()):
                if driver.fence is not None:
                    # A store that cannot be read now stops the driver at its next commit, not here.
                    with contextlib.suppress(StorageError):
                        await self._offer_asked(run, driver)

    async def _offer_asked(self, run: RunId, driver: RunDriver) -> None:
        for row in await self._journal.asked(run):
            try:
                request = read_request(row.body)
            except ValueError:
                request = None  # written by something newer, or damaged: it is taken out and changes nothing
            driver.offer(row.key, row.at_us, request)


def _over(state: ExecutionState, name: str) -> bool:
    step = state.steps.get(StepPath(name))
    return step is not None and step.ended


def _driven(run: RunId) -> RefusedRequestError:
    return RefusedRequestError(f"run {run} is being driven by this engine already", fix="wait for it, or cancel it")


def _is_digest(repo: Path | str) -> TypeGuard[Digest]:
    return isinstance(repo, str) and len(repo) == 64 and all(c in "0123456789abcdef" for c in repo)


def _place_of(repo: Path | str) -> str:
    """Where a run's repository is, for `apply`; nothing for a bare tree."""
    return "" if _is_digest(repo) else os.path.abspath(repo)


def _named_agents(step: Step) -> tuple[str, ...]:
    own = (step.work.agent,) if isinstance(step.work, PromptWork) and step.work.agent else ()
    settles = (step.merge.agent,) if step.merge.agent else ()
    return (*own, *step.fallback, *settles)


def _tighter(a: Limits, b: Limits) -> Limits:
    """The smaller of two limits in each dimension."""
    merged = {}
    for name in Limits.__struct_fields__:
        values = [v for v in (getattr(a, name), getattr(b, name)) if v is not None]
        merged[name] = min(values) if values else None
    return Limits(**merged)

"""Carrying out commands: one function each, calling a port and returning the outcome as an input event.

A failure of the outside world is a value here; a failure of our own stores (StorageError, FencedError) is not an
outcome and passes through, so that it never becomes a recorded result. Cancellation passes through too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from tenuto.core.bodies import write_body
from tenuto.core.canonical import canonical, clean, digest, parse
from tenuto.core.commands import CallModel, CallTool, LoadPlan, MergeTrees, ReconcileCall
from tenuto.core.content import Content
from tenuto.core.events.call import (
    CallReconciled,
    ModelCallFailed,
    ModelCallRequested,
    ModelReplied,
    ToolCallFailed,
    ToolReturned,
    TreesMerged,
)
from tenuto.core.events.plan import PlanLoaded
from tenuto.core.events.step import Failure
from tenuto.core.frames import reply_content
from tenuto.core.ids import Digest, RunId, call_id, split_position
from tenuto.core.models import ModelReply, ModelRequest, ToolCallAsk
from tenuto.core.pinning import unpinned_models
from tenuto.core.plan import Registry
from tenuto.core.problems import PROBLEMS_MAX
from tenuto.core.produced import beyond_its_step
from tenuto.core.redaction import Redactor
from tenuto.core.state import ExecutionState
from tenuto.core.tools import Grants, ToolCall, ToolSpec
from tenuto.errors import (
    FencedError,
    InvalidPlanError,
    MissingArtifactError,
    ModelCallError,
    StorageError,
    ToolCallError,
    UsageError,
)
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider
from tenuto.ports.plans import PlanReader
from tenuto.ports.tools import Tool, ToolOutput, Tools
from tenuto.ports.workspace import Workspace
from tenuto.runtime.bus import EventBus
from tenuto.runtime.live_text import LiveText, LiveTextTeller
from tenuto.runtime.pacing import Pace
from tenuto.runtime.tool_context import CallContext, call_environment

__all__ = ["MODEL_DEADLINE_US", "Effects"]

MODEL_DEADLINE_US = 600_000_000
"""The deadline of a model call for which nobody declares one."""
RESULT_BYTES_MAX = 4 << 20
"""The longest result a tool may give; a longer one is an error that names the limit."""
_INFRASTRUCTURE = (StorageError, FencedError, MissingArtifactError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The ports through which the commands of one engine reach the world."""

    clock: Clock
    models: ModelProvider
    tools: Tools
    workspace: Workspace
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    live: EventBus
    pace: Pace
    plans: PlanReader | None
    redactor: Redactor

    async def call_model(
        self,
        run: RunId,
        command: CallModel,
        may_start: Callable[[], None] = lambda: None,
        strict: bool = False,
    ) -> ModelReplied | ModelCallFailed:
        """Ask when the provider may be asked. `may_start` raises where this engine must start nothing any more.

        A model that only a program or a produced plan names is in no lock: here a strict run refuses it.
        """
        event = command.event
        if strict and (refusal := self._unpinned(event.config.model)) is not None:
            return ModelCallFailed(
                call=event.call,
                error=Failure(call=event.call, kind="unpinned", message=clean(str(refusal))),
                kept=False,
                retryable=False,
                try_number=event.try_number,
            )
        if not self.pace.paces(event.config.model):
            return await self._ask(run, command)
        async with self.pace.turn(event.config.model, event.hold.tokens) as turn:
            may_start()
            turn.outcome = await self._ask(run, command)
            return turn.outcome

    def _unpinned(self, model: str) -> UsageError | None:
        try:
            return next(iter(unpinned_models({model: self.models.profile(model)})), None)
        except UsageError as error:
            return error

    async def _ask(self, run: RunId, command: CallModel) -> ModelReplied | ModelCallFailed:
        event = command.event
        request = ModelRequest(
            call=call_id(run, event.call),
            config=event.config,
            fingerprint=event.fingerprint,
            key=digest(f"{run}\0{event.call}\0{event.fingerprint}".encode()),
            messages=command.messages,
            output_schema=command.output_schema,
            tools=command.tools,
            try_number=event.try_number,
        )
        deadline = MODEL_DEADLINE_US if command.timeout_us is None else command.timeout_us
        begun = self.clock.monotonic_us()
        teller = self._teller(run, event)
        try:
            reply = await self.models.complete(request, deadline_us=deadline, on_text=teller)
            if teller is not None:
                teller.end()
            return self._replied(command, reply, begun)
        except ModelCallError as error:
            return ModelCallFailed(
                call=event.call,
                duration_ms=self._since_ms(begun),
                error=Failure(call=event.call, kind=error.kind, message=clean(str(error))),
                kept=error.sent,
                retry_after_ms=error.retry_after_ms,
                retryable=error.retryable,
                status=error.status,
                try_number=event.try_number,
            )
        except _INFRASTRUCTURE:
            raise
        except Exception as error:  # noqa: BLE001  # an adapter's bug must not take the run with it: it is an outcome
            return ModelCallFailed(
                call=event.call,
                duration_ms=self._since_ms(begun),
                error=Failure(call=event.call, kind="adapter", message=clean(f"{type(error).__name__}: {error}")),
                kept=True,
                retryable=False,
                try_number=event.try_number,
            )

    def _teller(self, run: RunId, event: ModelCallRequested) -> LiveTextTeller | None:
        """Where to tell the answer on its way; None where nobody watches, so that nothing is streamed for nobody."""
        if not self.live.hears(LiveText):
            return None
        return LiveTextTeller(self.live, self.redactor, run, event.call, event.try_number)

    def _replied(self, command: CallModel, reply: ModelReply, begun: int) -> ModelReplied:
        event = command.event
        text = clean(reply.text)
        asks = tuple(map(_cleaned, reply.tool_calls))
        violations: tuple[str, ...] = ()
        if command.output_schema is not None and not asks:
            violations = tuple(self.tools.complaints(bytes(command.output_schema), msgspec.Raw(text.encode())))
        return ModelReplied(
            call=event.call,
            dropped=reply.dropped,
            duration_ms=self._since_ms(begun),
            finish=reply.finish,
            reply=reply_content(text, asks),
            served=reply.served,
            try_number=event.try_number,
            usage=reply.usage,
            violations=violations,
        )

    async def call_tool(self, run: RunId, registry: Registry, command: CallTool) -> ToolReturned | ToolCallFailed:
        event = command.event
        begun = self.clock.monotonic_us()
        tool = self.tools.get(event.tool)
        known_tools = registry.tools if command.offered is None else command.offered
        if tool is None or event.tool not in known_tools:
            known = ", ".join(sorted(known_tools)[:10]) or "none"
            return self._returned(command, _told(f"there is no tool {event.tool!r}; there are: {known}"), begun)
        complaints = self.tools.validate_arguments(tool.spec, event.arguments.raw)
        if complaints:
            return self._returned(command, _told("wrong arguments: " + "; ".join(complaints)), begun)
        path, attempt, _ = split_position(event.call)
        secrets = {name: self.secrets[name] for name in command.grants.secrets if name in self.secrets}
        grants = command.grants if event.tool == "run" else Grants()
        call = ToolCall(
            arguments=event.arguments.raw,
            attempt=attempt,
            call=call_id(run, event.call),
            key=event.key,
            run=run,
            step=path,
            tool=event.tool,
            tree=event.tree,
            try_number=event.try_number,
        )
        timeout = tool.spec.timeout_ms * 1000 if command.timeout_us is None else command.timeout_us
        variables = {name: self.environment[name] for name in grants.env if name in self.environment}
        if event.tool == "run":
            variables |= secrets
        context = CallContext(
            self.workspace,
            event.tree,
            await self.workspace.edit(event.tree),
            environment=call_environment(call, variables),
            grants=grants,
            secrets=secrets,
            deadline_us=timeout,
            keep=command.keep,
            repetition=command.repetition,
        )
        try:
            return await self._invoke(command, tool, call, context, begun)
        finally:
            await context.close()

    async def _invoke(
        self, command: CallTool, tool: Tool, call: ToolCall, context: CallContext, begun: int
    ) -> ToolReturned | ToolCallFailed:
        event = command.event
        try:
            # The tool knows its deadline; this one is for tools that do not keep it.
            async with asyncio.timeout(context.deadline_us / 1_000_000 + 5):
                output = await tool.invoke(call, context)
        except ToolCallError as error:
            return self._failed(command, error.kind, str(error), begun, retryable=error.retryable)
        except TimeoutError:
            return self._failed(command, "timeout", "the tool did not end in time", begun, retryable=True)
        except _INFRASTRUCTURE:
            raise
        except Exception as error:  # noqa: BLE001  # a tool's bug is an outcome: it must not take the run with it
            return self._failed(command, "crashed", f"{type(error).__name__}: {error}", begun, retryable=False)
        tree = event.tree
        if event.effect != "read" and (output.status == "ok" or event.tool == "run"):
            try:
                tree = await context.tree()
            except UsageError as error:
                # What it left behind is no tree (a socket, a file that holds a secret): the call is over, and failed.
                return self._returned(command, _told(context.without_place(error)), begun)
        return self._returned(command, output, begun, tree=tree, spec=tool.spec)

    def _returned(
        self,
        command: CallTool,
        output: ToolOutput,
        begun: int,
        *,
        tree: Digest | None = None,
        spec: ToolSpec | None = None,
    ) -> ToolReturned:
        event = command.event
        value = bytes(output.value)
        status = output.status
        if len(value) > RESULT_BYTES_MAX:
            told = _told(f"the result has {len(value)} bytes; at most {RESULT_BYTES_MAX} can be kept")
            value, status = bytes(told.value), "error"
        met: bool | None = None
        if spec is not None and spec.output_schema is not None and status == "ok":
            met = not self.tools.validate_output(spec, msgspec.Raw(value))
        violations: tuple[str, ...] = ()
        if command.output_schema is not None and status == "ok":
            violations = self._stdout_violations(bytes(command.output_schema), value)
        return ToolReturned(
            call=event.call,
            duration_ms=self._since_ms(begun),
            result=Content.of_bytes(value),
            schema_met=met,
            status=status,
            tree=event.tree if tree is None else tree,
            try_number=event.try_number,
            violations=violations,
        )

    def _stdout_violations(self, schema: bytes, value: bytes) -> tuple[str, ...]:
        """The ways in which a command's standard output is not the JSON that its step declares."""
        stdout = parse(value).get("stdout", "")
        try:
            clean(parse(stdout))
        except ValueError as error:
            return (f"not JSON: {error}",)
        return tuple(self.tools.complaints(schema, msgspec.Raw(stdout.encode())))

    def _failed(self, command: CallTool, kind: str, message: str, begun: int, *, retryable: bool) -> ToolCallFailed:
        event = command.event
        return ToolCallFailed(
            call=event.call,
            duration_ms=self._since_ms(begun),
            error=Failure(call=event.call, kind=kind, message=clean(message)),
            retryable=retryable and event.effect != "once",
            try_number=event.try_number,
        )

    async def reconcile(self, tool_call: ToolCall, command: ReconcileCall) -> CallReconciled:
        """Ask a tool what became of a call in doubt; where it cannot say, a person is asked next."""
        event = command.event
        tool = self.tools.get(tool_call.tool)
        try:
            output = None if tool is None else await tool.reconcile(tool_call)
            known = tool is not None
        except _INFRASTRUCTURE:
            raise
        except Exception:  # noqa: BLE001  # it cannot say: a person decides
            output, known = None, False
        return CallReconciled(
            call=event.call,
            done=None if not known else output is not None,
            result=None if output is None else Content.of_bytes(bytes(output.value)),
            try_number=event.try_number,
        )

    async def merge(self, command: MergeTrees) -> TreesMerged:
        event = command.event
        merged = await self.workspace.merge(event.plan)
        if event.settled is not None:
            left = frozenset(await self.workspace.unresolved(event.settled, merged))
            conflicts = tuple(c for c in merged.conflicts if c.path in left)
            merged = msgspec.structs.replace(
                merged, conflicts=conflicts, marked=None, tree=None if left else event.settled
            )
        return TreesMerged(call=event.call, merged=merged, try_number=event.try_number)

    async def load_plan(self, state: ExecutionState, command: LoadPlan) -> PlanLoaded:
        """Read a sub-plan that an earlier step produced; what is wrong with it is an outcome."""
        event = command.event
        step = state.steps[split_position(event.call)[0]]
        declared, registry = state.compiled(step).step, state.spec.registry
        if self.plans is None:
            return PlanLoaded(call=event.call, errors=("this engine reads no plans",), try_number=event.try_number)
        try:
            plan = self.plans.read(event.source.value, registry.agents, registry.tools)
        except InvalidPlanError as error:
            lines = tuple(clean(str(problem)) for problem in error.errors)
            return PlanLoaded(call=event.call, errors=lines, try_number=event.try_number)
        beyond = tuple(beyond_its_step(plan, declared, registry, state.spec.lock.profiles))[:PROBLEMS_MAX]
        if beyond:
            return PlanLoaded(call=event.call, errors=beyond, try_number=event.try_number)
        return PlanLoaded(call=event.call, plan=Content.of_bytes(write_body(plan)), try_number=event.try_number)

    def _since_ms(self, begun: int) -> int:
        return (self.clock.monotonic_us() - begun) // 1000


def _cleaned(ask: ToolCallAsk) -> ToolCallAsk:
    """A tool call as it may be recorded: what a provider sends is brought into canonical range."""
    arguments = msgspec.Raw(canonical(clean(parse(ask.arguments))))
    return ToolCallAsk(arguments=arguments, id=clean(ask.id), name=clean(ask.name))


def _told(message: str) -> ToolOutput:
    return ToolOutput(status="error", value=msgspec.Raw(canonical({"error": clean(message)})))

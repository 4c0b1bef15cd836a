"""Making the calls: rendering a request from plan and state, its bound, its fingerprint, and the record of intent.

Everything is computed from the state whenever it is needed, on resume and replay too: that is what lets replay
notice one changed character.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tenuto.core.agent_work import AgentWork
from tenuto.core.budget import NOTHING, Amount, subtract
from tenuto.core.canonical import canonical, digest
from tenuto.core.commands import CallModel, CallTool, Command, Conclude
from tenuto.core.content import Content
from tenuto.core.events.call import CallParked, ModelCallRequested, Part, ToolCallRequested
from tenuto.core.events.program import AskAgent, AskModel, AskTool
from tenuto.core.frames import read_reply
from tenuto.core.ids import Digest, Position
from tenuto.core.ledger import missing, model_hold
from tenuto.core.models import Message, ModelConfig
from tenuto.core.repetition import Repetition, repetition_of
from tenuto.core.scope import rendered, step_scope
from tenuto.core.seeds import call_seed
from tenuto.core.shares import PLENTY
from tenuto.core.state import AgentFrame, Call, CommandFrame, ExecutionState, ProgramFrame, StepState
from tenuto.core.tools import Effect
from tenuto.core.work import work_of

__all__ = ["output_schema", "request_call", "tool_ask", "tool_call_again", "tree_of"]

_TOOL_CALL = Amount(tool_calls=1)
_encode = msgspec.json.Encoder(order="sorted").encode


class _ModelPrint(msgspec.Struct, frozen=True, gc=False):
    """What a model call's fingerprint is the hash of."""

    config: ModelConfig
    parts: list[Digest]
    what: str = "model"


class _ToolPrint(msgspec.Struct, frozen=True, gc=False):
    """What a tool call's fingerprint is the hash of. `grants` are those of a `run` step."""

    arguments: Digest
    grants: Digest | None
    tool: str
    tree: Digest | None
    version: str
    what: str = "tool"


class _RepeatablePrint(_ToolPrint, frozen=True, gc=False):
    """The same for a command that is given a clock and random numbers of its own."""

    repetition: Repetition | None = None


def request_call(state: ExecutionState, call: Call) -> Command:
    """The command of a call that has a place, or the record that it is parked."""
    step = state.steps[call.path]
    if call.kind == "model":
        return _model_call(state, call, step)
    return _tool_call(state, call, step)


def _remaining_us(state: ExecutionState, timeout_ms: int | None) -> int | None:
    """The deadline of a call: its own, and what the run's time leaves."""
    own = None if timeout_ms is None else timeout_ms * 1000
    if state.time_limit_us is None:
        return own
    left = max(1, state.time_limit_us - state.active_us)
    return left if own is None else min(own, left)


def _parked(state: ExecutionState, call: Call, need: Amount) -> Conclude | None:
    if missing(state, call.account, subtract(need, call.hold)) == NOTHING:
        return None
    free = state.account(call.account).free
    return Conclude(CallParked(call=call.position, free=free, need=need, try_number=call.try_number))


# --- model calls ----------------------------------------------------------------------------------------------


def _model_call(state: ExecutionState, call: Call, step: StepState) -> Command:
    work = work_of(state, step)
    agent = work.agent_for(step, call.position)
    frame = step.frame
    if isinstance(frame, AgentFrame):
        messages, parts, new, extends = _conversation(state, step, frame, agent, call)
        schema = output_schema(state, step)
    elif isinstance(frame, ProgramFrame):
        ask = frame.open_asks[call.position.rpartition("/")[2]]
        if not isinstance(ask, AskModel):
            raise AssertionError(f"{call.position} is no model call")
        messages = _asked_messages(agent, ask)
        parts = new = [_part(m) for m in messages]
        extends = None
        schema = None if ask.schema is None else ask.schema.raw
    else:
        raise AssertionError(f"{step.path} makes no model calls")
    schema_bytes = b"" if schema is None else bytes(schema)
    config = ModelConfig(
        max_tokens=agent.max_tokens,
        model=agent.model,
        output_schema=digest(schema_bytes) if schema_bytes else None,
        prompt_version=work.spec.prompt_version if step.asked is None else None,
        seed=call_seed(state.seed, call.position),
        tools=agent.tool_digests,
    )
    length = sum([part.length for part, _ in parts]) + agent.tools_length + len(schema_bytes)
    need = model_hold(agent, length)
    if agent.profile.price is None and agent.profile.grade != "exact" and "usd_micros" in state.spec.limited:
        need = replace(need, usd_micros=PLENTY)  # no bound is known, so no budget in money can pay it
    parked = _parked(state, call, need)
    if parked is not None:
        return parked
    fingerprint = digest(_encode(_ModelPrint(config, [part.digest for part, _ in parts])))
    event = ModelCallRequested(
        agent=agent.agent,
        call=call.position,
        config=config,
        extends=extends,
        fingerprint=fingerprint,
        hold=need,
        parts=tuple([part for part, _ in new]),
        try_number=call.try_number,
    )
    blobs = tuple([(part.digest, body) for part, body in new if body is not None])
    timeout = _remaining_us(state, work.spec.timeout_ms)
    return CallModel(event, messages, agent.tools, schema, blobs, timeout)


_Parts = Sequence[tuple[Part, bytes | None]]


def _part(message: Message) -> tuple[Part, bytes]:
    body = _encode(message)
    return Part(digest(body), len(body)), body


def _named(content: Content) -> tuple[Part, None]:
    """A part that an earlier record carries."""
    return Part(content.digest, content.length), None


def _conversation(
    state: ExecutionState, step: StepState, frame: AgentFrame, agent: AgentWork, call: Call
) -> tuple[tuple[Message, ...], _Parts, _Parts, Position | None]:
    """All messages so far; all parts; those that the call before did not have; and that call."""
    messages: list[Message] = []
    if agent.system:
        messages.append(Message(role="system", text=agent.system))
    messages.append(Message(role="user", text=_task(state, step)))
    parts: list[tuple[Part, bytes | None]] = [_part(message) for message in messages]
    for exchange in frame.exchanges:
        reply = read_reply(exchange.reply)
        messages.append(Message(role="assistant", text=reply.text, tool_calls=reply.tool_calls))
        parts.append(_named(exchange.reply))
        for asked, result in zip(reply.tool_calls, exchange.results, strict=True):
            if result is None:
                raise AssertionError(f"{call.position}: {asked.name} has no result yet")
            messages.append(
                Message(role="tool", text=result.data.decode(), tool_call_id=asked.id, tool_name=asked.name)
            )
            parts.append(_named(result))
        if exchange.correction:
            messages.append(Message(role="user", text=exchange.correction))
            parts.append(_part(messages[-1]))
    known = len(frame.parts) if call.try_number == 1 else 0
    return tuple(messages), parts, parts[known:], frame.last_call if known else None


def _task(state: ExecutionState, step: StepState) -> str:
    if isinstance(step.asked, AskAgent):
        value = step.asked.task.value
        return value if isinstance(value, str) else step.asked.task.data.decode()
    template = state.compiled(step).prompt
    if template is None:
        raise AssertionError(f"{step.path} has no prompt")
    return rendered(state, step, template)


def _asked_messages(agent: AgentWork, ask: AskModel) -> tuple[Message, ...]:
    system = agent.system if ask.system is None else str(ask.system.value)
    prompt = ask.prompt.value
    text = prompt if isinstance(prompt, str) else ask.prompt.data.decode()
    user = Message(role="user", text=text)
    return (Message(role="system", text=system), user) if system else (user,)


def output_schema(state: ExecutionState, step: StepState) -> msgspec.Raw | None:
    """The JSON Schema that a step's output must meet; templates in it filled in."""
    if isinstance(step.asked, AskAgent):
        return None if step.asked.schema is None else step.asked.schema.raw
    spec = state.compiled(step)
    if spec.output is None:
        return None
    if spec.output_fixed is not None:
        return spec.output_fixed
    return msgspec.Raw(canonical(spec.output.evaluate(step_scope(state, step))))


# --- tool calls -----------------------------------------------------------------------------------------------


def _tool_call(state: ExecutionState, call: Call, step: StepState) -> Command:
    parked = _parked(state, call, _TOOL_CALL) if call.hold == NOTHING else None
    if parked is not None:
        return parked
    name, arguments, agent = tool_ask(state, call, step)
    offered = _offered(state, step)
    spec = state.spec.registry.tools.get(name) if offered is None or name in offered else None
    compiled = state.compiled(step)
    is_command = isinstance(step.frame, CommandFrame)
    effect: Effect = compiled.effect if is_command else spec.effect if spec is not None else "read"
    version = spec.version if spec is not None else ""
    tree = tree_of(state, step, call)
    grants = compiled.step.grants
    # An outside effect is the same effect whatever the tree was: its key must survive a later attempt's other tree.
    outside = effect in ("once", "idempotent")
    called = _ToolPrint(
        arguments=arguments.digest,
        grants=None if grants.nothing else digest(_encode(grants)),
        tool=name,
        tree=None if outside else tree,
        version=version,
    )
    repetition = None
    if name == "run" and compiled.repeatable is not None:
        repetition = repetition_of(compiled.repeatable, state.seed, f"{step.path}/{call.position.rpartition('/')[2]}")
        called = _RepeatablePrint(**msgspec.structs.asdict(called), repetition=repetition)
    fingerprint = Digest(hashlib.sha256(_encode(called)).hexdigest())
    # Another try keeps the key it had, however many equal calls came since.
    number = step.keys_seen.get(fingerprint, 0)
    key = call.key or digest(f"{state.run}\0{step.path}\0{fingerprint}\0{number}".encode())
    answered = step.answers.get(key) if outside and call.try_number == 1 else None
    event = ToolCallRequested(
        agent=agent,
        answered_by=None if answered is None else answered[0],
        arguments=arguments,
        call=call.position,
        effect=effect,
        fingerprint=fingerprint,
        hold=_TOOL_CALL if answered is None else NOTHING,
        key=key,
        tool=name,
        tree=tree,
        try_number=call.try_number,
        version=version,
    )
    if answered is not None:
        return Conclude(event)
    timeout = compiled.timeout_ms if is_command or compiled.timeout_ms is not None else None
    if timeout is None and spec is not None:
        timeout = spec.timeout_ms
    return CallTool(
        event,
        _remaining_us(state, timeout),
        grants=grants,
        keep=compiled.step.keep,
        offered=offered,
        output_schema=output_schema(state, step) if is_command else None,
        repetition=repetition,
    )


def _offered(state: ExecutionState, step: StepState) -> tuple[str, ...] | None:
    """The tools an agent may use; a command and a program may use all of the run."""
    if not isinstance(step.frame, AgentFrame):
        return None
    agent = work_of(state, step).agent
    return () if agent is None else tuple(agent.tool_digests)


def tool_call_again(state: ExecutionState, call: Call) -> tuple[str, Content, Digest]:
    """Tool, arguments and tree of a call that was made and is in doubt."""
    step = state.steps[call.path]
    name, arguments, _ = tool_ask(state, call, step)
    return name, arguments, tree_of(state, step, call)


def tool_ask(state: ExecutionState, call: Call, step: StepState) -> tuple[str, Content, str | None]:
    """Which tool, with what, asked for by whom."""
    frame = step.frame
    ordinal = call.position.rpartition("/")[2]
    if call.edited is not None:
        name, _, agent_name = tool_ask(state, replace(call, edited=None), step)
        return name, call.edited, agent_name
    if isinstance(frame, AgentFrame):
        ask = read_reply(frame.exchanges[-1].reply).tool_calls[int(ordinal) - frame.base]
        agent = work_of(state, step).agent
        return ask.name, Content.of_bytes(bytes(ask.arguments)), agent.agent if agent else None
    if isinstance(frame, ProgramFrame):
        asked = frame.open_asks[ordinal]
        if not isinstance(asked, AskTool):
            raise AssertionError(f"{call.position} is no tool call")
        return asked.tool, asked.arguments, None
    template = state.compiled(step).command
    if template is None:
        raise AssertionError(f"{step.path} has no command")
    arguments: dict[str, Any] = {"command": rendered(state, step, template)}
    return "run", Content.of(arguments), None


def tree_of(state: ExecutionState, step: StepState, call: Call) -> Digest:
    """The tree that a tool call is made in: that of its step, or of its lane."""
    frame = step.frame
    if isinstance(frame, ProgramFrame):
        return frame.trees[call.position.rpartition("/")[2].rpartition(".")[0]]
    return step.out_tree or state.start_tree(step)

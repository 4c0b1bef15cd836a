"""The built-in agent loop as data: what a reply or a tool's result does to a step."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec.structs import replace

from tenuto.core.budget import NOTHING
from tenuto.core.canonical import canonical, clean, parse
from tenuto.core.content import Content
from tenuto.core.events.call import ModelReplied
from tenuto.core.events.program import AskModel
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, Position, split_position
from tenuto.core.merging import MergedTree
from tenuto.core.models import ToolCallAsk
from tenuto.core.moves import attend, drop_call, enqueue, give_verdict, put_step, vacate
from tenuto.core.permissions import needs_approval
from tenuto.core.program_moves import feed
from tenuto.core.state import AgentFrame, Call, CommandFrame, Exchange, ExecutionState, ProgramFrame, StepState
from tenuto.core.work import work_of

__all__ = [
    "CORRECTIONS_MAX",
    "Reply",
    "after_reply",
    "after_tool",
    "conflict_failure",
    "fail_call",
    "read_reply",
    "reply_content",
]

CORRECTIONS_MAX = 2
"""How often a model may correct an answer that does not meet its schema."""


_NO_TEXT = msgspec.Raw(b'""')


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a reply as it is stored. `quoted` is its text as JSON: the output of a step without a schema."""

    quoted: msgspec.Raw = msgspec.field(name="text", default=_NO_TEXT)
    tool_calls: tuple[ToolCallAsk, ...] = ()

    @property
    def text(self) -> str:
        return _read_text(self.quoted)


_read_reply = msgspec.json.Decoder(Reply).decode
_read_text = msgspec.json.Decoder(str).decode
_write = msgspec.json.Encoder(order="sorted").encode


def reply_content(text: str, tool_calls: tuple[ToolCallAsk, ...]) -> Content:
    """The artifact of a reply. Text and arguments must be clean and canonical."""
    quoted = msgspec.Raw(_write(text)) if text else _NO_TEXT
    return Content.of_bytes(_write(Reply(quoted=quoted, tool_calls=tool_calls)))


def read_reply(content: Content) -> Reply:
    return _read_reply(content.raw if content.at_hand else content.data)


def after_reply(state: ExecutionState, step: StepState, event: ModelReplied) -> ExecutionState:
    frame = step.frame
    reply = read_reply(event.reply)
    if isinstance(frame, ProgramFrame):
        return _tell_program(state, step, frame, reply, event)
    if not isinstance(frame, AgentFrame):
        raise AssertionError(f"{step.path} makes no model calls")
    if reply.tool_calls:
        exchange = Exchange(event.reply, (None,) * len(reply.tool_calls))
        return _start_tools(state, _exchanged(step, frame, exchange, event.call), reply.tool_calls)
    outcome = _answer(reply, event, structured=_has_schema(state, step))
    if isinstance(outcome, Failure) and outcome.kind == "schema" and frame.corrections < CORRECTIONS_MAX:
        exchange = Exchange(event.reply, (), _correction(event.violations or (outcome.message,)))
        corrected = replace(frame, corrections=frame.corrections + 1)
        step = _exchanged(step, corrected, exchange, event.call)
        return _next_call(state, step, _after(event.call))
    return give_verdict(state, step, outcome)


def _tell_program(
    state: ExecutionState, step: StepState, frame: ProgramFrame, reply: Reply, event: ModelReplied
) -> ExecutionState:
    ordinal = split_position(event.call)[2]
    ask = frame.open_asks[ordinal]
    structured = isinstance(ask, AskModel) and ask.schema is not None
    outcome = _answer(reply, event, structured=structured)
    if isinstance(outcome, Failure):
        return feed(state, step, ordinal, failure=outcome)
    return feed(state, step, ordinal, value=outcome.named())


def _exchanged(step: StepState, frame: AgentFrame, exchange: Exchange, call: Position) -> StepState:
    """The step with one turn more of its conversation; what follows is numbered on from the call."""
    exchanges = (*frame.exchanges, exchange)
    return replace(step, frame=replace(frame, base=_after(call), exchanges=exchanges, started=0, waiting=0))


def _after(call: Position) -> int:
    """The ordinal after that of a call of an agent."""
    return int(split_position(call)[2]) + 1


def _has_schema(state: ExecutionState, step: StepState) -> bool:
    if step.asked is None:
        return state.compiled(step).output is not None
    return getattr(step.asked, "schema", None) is not None


def _answer(reply: Reply, event: ModelReplied, *, structured: bool) -> Content | Failure:
    if event.violations:
        return Failure(call=event.call, kind="schema", message="; ".join(event.violations))
    if event.finish == "length" and structured:
        return Failure(call=event.call, kind="length", message="the answer was cut at max_tokens")
    if structured:
        try:
            return Content.of_bytes(canonical(clean(parse(reply.text))))
        except ValueError as error:
            return Failure(call=event.call, kind="schema", message=f"$: {error}")
    return Content.unnamed(reply.quoted)


def _correction(violations: tuple[str, ...]) -> str:
    lines = "\n".join(f"- {violation}" for violation in violations)
    return f"Your answer does not meet the required JSON schema:\n{lines}\nAnswer again, with valid JSON only."


def _next_call(state: ExecutionState, step: StepState, ordinal: int) -> ExecutionState:
    frame = step.frame
    if not isinstance(frame, AgentFrame):
        raise AssertionError(f"{step.path} is no agent")
    step = replace(step, frame=replace(frame, ordinal=ordinal))
    work = work_of(state, step)
    if work.agent is not None and frame.iterations >= work.agent.iterations_max:
        limit = work.agent.iterations_max
        error = Failure(kind="iterations", message=f"the agent made {limit} model calls without an answer")
        return give_verdict(state, step, error)
    return enqueue(state, step, "model", str(ordinal))


def _start_tools(state: ExecutionState, step: StepState, asks: tuple[ToolCallAsk, ...]) -> ExecutionState:
    """Neighbouring reads together, every other call alone, in listed order."""
    frame = step.frame
    if not isinstance(frame, AgentFrame):
        raise AssertionError(f"{step.path} is no agent")
    tools = state.spec.registry.tools
    first = frame.started
    last = first + 1
    if _is_read(asks[first].name, tools):
        while last < len(asks) and _is_read(asks[last].name, tools):
            last += 1
    step = replace(step, frame=replace(frame, started=last, waiting=last - first))
    state = put_step(state, step)
    for i in range(first, last):
        ask = needs_approval(state, step, asks[i].name)
        state = enqueue(state, state.steps[step.path], "tool", str(frame.base + i), ask=ask)
    return state


def _is_read(name: str, tools: Any) -> bool:
    spec = tools.get(name)
    return spec is None or spec.effect == "read"


def fail_call(
    state: ExecutionState, call: Call, error: Failure, *, retryable: bool, retry_after_ms: int = 0
) -> ExecutionState:
    """One try failed: another follows by the step's policy, or the failure is what the asker gets."""
    step = state.steps[call.path]
    retry = state.compiled(step).retry
    if retryable and call.failures + 1 < retry.tries:
        again = replace(
            call,
            failures=call.failures + 1,
            hold=call.hold if call.kind == "tool" else NOTHING,
            retry_after_ms=retry_after_ms,
            status="backoff",
        )
        return attend(vacate(state, call), again)
    state = drop_call(state, call)
    step = state.steps[call.path]
    if isinstance(step.frame, ProgramFrame):
        return feed(state, step, call.position.rpartition("/")[2], failure=error)
    if isinstance(step.frame, AgentFrame) and call.kind == "tool":
        told = Content.of({"error": error.message})
        return after_tool(state, step, call, told, status="error", tree=step.out_tree or state.start_tree(step))
    return give_verdict(state, step, error)


def after_tool(
    state: ExecutionState,
    step: StepState,
    call: Call,
    result: Content,
    *,
    status: str,
    tree: Digest,
    violations: tuple[str, ...] = (),
) -> ExecutionState:
    frame = step.frame
    ordinal = call.position.rpartition("/")[2]
    if isinstance(frame, CommandFrame):
        step = replace(step, frame=replace(frame, result=result), out_tree=tree)
        return give_verdict(state, step, _command_verdict(state, step, call, result, status, violations))
    if isinstance(frame, ProgramFrame):
        prefix = ordinal.rpartition(".")[0]
        frame = replace(frame, trees={**frame.trees, prefix: tree})
        step = replace(step, frame=frame, out_tree=tree if prefix == "" else step.out_tree)
        if status == "error":
            message = _error_text(result)
            error = Failure(call=call.position, kind="tool", message=message)
            return feed(state, step, ordinal, failure=error)
        return feed(state, step, ordinal, value=result)
    if not isinstance(frame, AgentFrame):
        raise AssertionError(f"{step.path} makes no tool calls")
    exchange = frame.exchanges[-1]
    index = int(ordinal) - frame.base
    results = (*exchange.results[:index], result, *exchange.results[index + 1 :])
    exchange = replace(exchange, results=results)
    frame = replace(frame, exchanges=(*frame.exchanges[:-1], exchange), waiting=frame.waiting - 1)
    step = replace(step, frame=frame, out_tree=tree if call.effect != "read" else step.out_tree)
    if step.verdict is not None or frame.waiting > 0:
        return put_step(state, replace(step, due=step.verdict is not None and step.open_calls == 0))
    asks = read_reply(exchange.reply).tool_calls
    if frame.started < len(asks):
        return _start_tools(state, step, asks)
    return _next_call(state, step, frame.base + len(asks))


def _command_verdict(
    state: ExecutionState, step: StepState, call: Call, result: Content, status: str, violations: tuple[str, ...]
) -> Content | Failure:
    value = result.value
    if status == "error":
        return Failure(call=call.position, kind="command", message=_error_text(result))
    if violations:
        return Failure(call=call.position, kind="schema", message=f"stdout: {'; '.join(violations)}")
    if state.compiled(step).output is None:
        return result
    return Content.of(clean(parse(value["stdout"])))


def _error_text(result: Content) -> str:
    found = result.value
    if isinstance(found, dict):
        value = cast("dict[str, Any]", found)
        if isinstance(value.get("error"), str):
            return str(value["error"])
        if "exit_code" in value:
            lines = str(value.get("stderr") or value.get("stdout") or "").strip().splitlines()
            last = f": {lines[-1][:200]}" if lines else ""
            return f"exit code {value['exit_code']}{last}"
    return "the tool reported an error"


def conflict_failure(merged: MergedTree) -> Failure:
    """What a merge with unresolved conflicts is as an error."""
    parts = [f"{c.path} ({', '.join(c.steps)})" for c in merged.conflicts if c.taken is None]
    shown = "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else "")
    return Failure(kind="merge_conflict", message=f"branches changed the same text: {shown}")

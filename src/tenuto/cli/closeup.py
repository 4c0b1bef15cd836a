"""A step or a call as `show` paints it: prompts, replies, tool calls with arguments and results, changed files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote
from typing import Any

from tenuto.app.looking import Changed, LookedAtCall, LookedAtStep, SeenCall, value_of
from tenuto.app.nouns import counted
from tenuto.app.wording import short_model
from tenuto.cli.amounts import counted_amount, shown_money, shown_short_time, shown_when
from tenuto.cli.picture import field_lines
from tenuto.cli.screen import Line, Span, folded, plain
from tenuto.cli.step_tree import STYLES, place_of_step
from tenuto.core.models import Message

__all__ = ["call_lines", "step_closeup"]

PATCH_LINES_MAX = 300
TEXT_LINES_MAX = 200
BAR = "  │ "
CALL_STYLES = {"ok": "good", "open": "busy", "in doubt": "odd"}


def step_closeup(looked: LookedAtStep, flag: str, width: int | None) -> Iterator[Line]:
    """The lines of `show RUN STEP`."""
    step, state = looked.step, looked.run.shown.state
    yield (
        Span(f"{state.run}  "),
        Span(step.path, "bold"),
        Span("   "),
        Span(step.status, STYLES.get(step.status, "dim")),
    )
    for name, text in _step_fields(looked):
        yield from field_lines(name, text, width)
    if step.error is not None:
        yield from field_lines("error", f"{step.error.kind}: {step.error.message}", width, "bad")
    for call in looked.calls:
        yield ()
        yield from _call(call, width, whole=False)
    if looked.below:
        yield ()
        yield plain("steps below", "dim")
        yield from (plain(f"  tenuto show {state.run} {quote(path)}{flag}") for path in looked.below[:30])
        if len(looked.below) > 30:
            yield plain(f"  and {len(looked.below) - 30} more", "dim")
    if looked.changed is not None:
        yield ()
        yield from _changed(looked.changed)
    if step.output is not None and step.error is None and not _said_already(looked):
        yield ()
        yield plain("output", "dim")
        yield from _text(_pretty(step.output.value), width)


def _said_already(looked: LookedAtStep) -> bool:
    """Whether the step's output is what its last call gave."""
    if not looked.calls or looked.step.output is None:
        return False
    last, output = looked.calls[-1], looked.step.output
    if last.kind == "tool":
        return last.result is not None and bytes(last.result) == output.data
    value = output.value
    return last.text is not None and last.text.strip() in (str(value).strip(), output.data.decode())


def _step_fields(looked: LookedAtStep) -> Iterator[tuple[str, str]]:
    step, result, seen = looked.step, looked.result, looked.run
    place = place_of_step(seen.shown.state, step.name)
    if place:
        yield "written", place
    if result.agent:
        yield "agent", str(result.agent)
    span = seen.timeline.steps.get(step.path)
    if span is not None and span.begun_us is not None:
        until = seen.now_us if span.ended_us is None else span.ended_us
        yield "started", f"{shown_when(span.begun_us)}, took {shown_short_time((until - span.begun_us) // 1000)}"
    if step.reused is not None:
        yield (
            "reused",
            f"from {step.reused.run}, record {step.reused.seq}: `tenuto show {step.reused.run} {step.path}`",
        )
    spent = [_spent(call) for call in looked.calls]
    tokens, money = sum(t for t, _ in spent), sum(m for _, m in spent)
    costs = [counted_amount("tokens", tokens)] if tokens else []
    costs += [shown_money(money)] if money else []
    if looked.calls:
        yield "calls", ", ".join([f"{len(looked.calls):,}", *costs])
    for number, error in enumerate([] if span is None else span.attempts, 1):
        if error is not None:
            yield f"attempt {number}", f"{error.kind}: {error.message}"
    if step.key is not None:
        yield "key", step.key[:16]


def _spent(call: SeenCall) -> tuple[int, int]:
    return call.spent.tokens, call.spent.usd_micros


def call_lines(looked: LookedAtCall, width: int | None) -> Iterator[Line]:
    """The lines of `show RUN CALL`."""
    call = looked.call
    yield (Span(f"{looked.run.shown.state.run}  "), *_title(call))
    for name, text in _call_fields(call):
        yield from field_lines(name, text, width)
    yield ()
    yield from list(_call(call, width, whole=True))[1:]
    if looked.changed is not None:
        yield ()
        yield from _changed(looked.changed)


def _call_fields(call: SeenCall) -> Iterator[tuple[str, str]]:
    yield "started", shown_when(call.started_us)
    if call.config is not None:
        asked = {k: v for k, v in call.config.items() if k in ("temperature", "top_p", "seed", "max_tokens")}
        asked = {"temperature": 0, "top_p": 1, "seed": 0, **asked}
        yield "asked", ", ".join(f"{name} {value}" for name, value in asked.items())
        if call.dropped:
            yield "not sent", ", ".join(call.dropped)
        served = [f"{name} {value}" for name, value in (call.served or {}).items()]
        if served:
            yield "served", ", ".join(served)
        counts = [f"{name.replace('_', ' ')} {value:,}" for name, value in (call.usage or {}).items()]
        if counts:
            yield "usage", ", ".join(counts)
        if call.config.get("prompt_version"):
            yield "prompt", f"version {call.config['prompt_version'][:16]}"
    else:
        yield "tool", f"{call.name}, version {(call.version or '-')[:16]}, effect {call.effect}"
        yield "key", str(call.key)[:16]
    held = [counted_amount(d, a) for d in ("tokens", "usd_micros") if (a := getattr(call.hold, d))]
    if held:
        yield "reserved", ", ".join(held)
    yield "print", call.fingerprint[:16]


def _title(call: SeenCall) -> Iterator[Span]:
    yield Span(call.call, "bold")
    yield Span(f"   {call.kind} {short_model(call.name)}   ")
    yield Span(call.status, CALL_STYLES.get(call.status, "bad"))
    tokens, money = _spent(call)
    took = [counted_amount("tokens", tokens)] if tokens else []
    took += [shown_money(money)] if money else []
    took += [shown_short_time(call.duration_ms)] if call.duration_ms is not None else []
    took += [counted(call.tries, "try")] if call.tries > 1 else []
    took += [call.finish] if call.finish not in (None, "stop", "tool_calls") else []
    yield Span(f"   {', '.join(took)}" if took else "", "dim")


def _call(call: SeenCall, width: int | None, *, whole: bool) -> Iterator[Line]:
    yield tuple(_title(call))
    for error in call.failures:
        yield from field_lines("failed", f"{error.kind}: {error.message}", width, "bad")
    for violation in call.violations:
        yield from field_lines("not met", violation, width, "bad")
    if call.kind == "model":
        for message in call.messages:
            yield from _message(message, width)
        if call.text:
            yield plain("  reply", "dim")
            yield from _text(call.text, width)
        for ask in call.tool_calls:
            yield (Span("  wants ", "dim"), Span(ask.name))
            yield from _text(_arguments(value_of(ask.arguments)), width)
        return
    yield from _text(_arguments(value_of(call.arguments)), width)
    if call.result is not None:
        yield plain("  result", "dim")
        yield from _text(_result(value_of(call.result)), width, limit=None if whole else 40)


def _message(message: Message, width: int | None) -> Iterator[Line]:
    name = f"{message.role} ({message.tool_name})" if message.tool_name else message.role
    yield plain(f"  {name}", "dim")
    if message.text:
        yield from _text(message.text, width)
    for ask in message.tool_calls:
        yield from _text(f"{ask.name} {_arguments(value_of(ask.arguments))}", width)


def _arguments(value: Any) -> str:
    """The command of a `run` as it is, else one argument a line."""
    if isinstance(value, dict) and set(value) == {"command"}:
        return f"$ {value['command']}"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_pretty(argument)}" for name, argument in value.items()) or "(no arguments)"
    return _pretty(value)


def _result(value: Any) -> str:
    """What a command printed, else the value."""
    if isinstance(value, dict) and "exit_code" in value:
        parts = [f"exit code {value['exit_code']}"]
        parts += [f"{name}:\n{value[name].rstrip()}" for name in ("stdout", "stderr") if value.get(name)]
        return "\n".join(parts)
    return _pretty(value)


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _text(text: str, width: int | None, *, limit: int | None = TEXT_LINES_MAX) -> Iterator[Line]:
    lines = list(folded(text.rstrip("\n"), width, BAR))
    for line in lines[:limit]:
        yield (Span(BAR.rstrip(), "dim"), Span(line.removeprefix(BAR.rstrip())))
    if limit is not None and len(lines) > limit:
        yield plain(f"{BAR}… {counted(len(lines) - limit, 'more line')}; --json has all", "dim")


def _changed(changed: Changed) -> Iterator[Line]:
    kept = "" if changed.kept else ", taken back because the attempt failed"
    yield plain(f"files changed: {len(changed.files)}{kept}", "dim")
    lines = [line for line in changed.patch.splitlines() if not line.startswith("index ")]
    for line in lines[:PATCH_LINES_MAX]:
        yield plain(f"  {line}", _patch_style(line))
    if len(lines) > PATCH_LINES_MAX:
        yield plain(f"  … {counted(len(lines) - PATCH_LINES_MAX, 'more line')}; --json has all", "dim")


def _patch_style(line: str) -> str:
    if line.startswith(("diff ", "+++", "---", "new file", "deleted file")):
        return "dim"
    return {"+": "good", "-": "bad", "@": "busy"}.get(line[:1], "")

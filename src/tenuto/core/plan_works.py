"""What must hold in the work of a step: prompt, command, program, sub-plan, approval or pause."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from tenuto.core.agents import AgentSpec
from tenuto.core.durations import read_duration_ms
from tenuto.core.plan import ApprovalWork, PlanWork, PromptWork, RunWork, Step, UsesWork, WaitWork
from tenuto.core.problems import Problem, did_you_mean, shorten

__all__ = ["Known", "named_agent", "step_work"]

_TARGET = re.compile(r"python:[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


_ADD_AGENTS = "this plan names no agents: add `agents: [agents/*.md]` to it"


class Known(NamedTuple):
    """What a plan may name. None = not known yet, so such names are not checked.

    A `closed` plan was produced by a step: it cannot bring agents of its own.
    """

    agents: Mapping[str, AgentSpec]
    tools: Collection[str] | None
    secrets: Collection[str] | None
    closed: bool = False


def step_work(step: Step, path: str, known: Known) -> Iterator[Problem]:
    """The problems of what a step does, of what it names for that, and of keys that have no meaning for it."""
    match step.work:
        case PromptWork(agent=agent, text=text):
            if agent is not None:
                yield from named_agent(f"{path}.agent", agent, known)
            if not text.strip():
                yield Problem(f"{path}.prompt", "the prompt is empty", "write what the agent should do")
        case RunWork(command=command):
            yield from _command(path, command)
        case UsesWork(target=target):
            if not _TARGET.match(target):
                yield Problem(f"{path}.uses", f"{shorten(target)} names no function", "write python:MODULE:FUNCTION")
        case PlanWork(plan=plan, text=text):
            if plan is None and not text:
                yield Problem(f"{path}.plan", "there is no sub-plan", "name a plan file, or write an expression")
        case ApprovalWork():
            yield from _approval(path, step.work)
        case WaitWork(duration=duration):
            yield from _wait(path, duration)
    yield from _misplaced(step, path)
    yield from _names(step, path, known)


def _names(step: Step, path: str, known: Known) -> Iterator[Problem]:
    for index, name in enumerate(step.fallback):
        yield from named_agent(f"{path}.fallback[{index}]", name, known)
    for index, name in enumerate(step.tools or ()):
        if known.tools is not None and name not in known.tools:
            fix = did_you_mean(name, known.tools)
            yield Problem(f"{path}.tools[{index}]", f"there is no tool {shorten(name)}", fix)
    for index, name in enumerate(step.grants.secrets):
        if known.secrets is not None and name not in known.secrets:
            what = f"there is no secret {shorten(name)} in the configuration"
            otherwise = f'write [secrets] and {shorten(name)} = {{ env = "VARIABLE" }} in tenuto.toml'
            fix = did_you_mean(name, known.secrets, otherwise)
            yield Problem(f"{path}.grants.secrets[{index}]", what, fix)


def named_agent(path: str, name: str, known: Known) -> Iterator[Problem]:
    """The problem of a name that no agent has."""
    if name not in known.agents:
        otherwise = "" if known.agents or known.closed else _ADD_AGENTS
        yield Problem(path, f"there is no agent {shorten(name)}", did_you_mean(name, known.agents, otherwise))


def _command(path: str, command: str) -> Iterator[Problem]:
    if not command.strip():
        yield Problem(f"{path}.run", "the command is empty", "write one for /bin/sh -c")
    if "\x00" in command:
        yield Problem(f"{path}.run", "a command cannot hold NUL", "remove it")


def _approval(path: str, work: ApprovalWork) -> Iterator[Problem]:
    if not work.ask.strip():
        yield Problem(f"{path}.approval.ask", "the question is empty", "write what a person should decide")
    if work.expires_ms is not None and work.expires_ms < 1:
        yield Problem(f"{path}.approval.expires", "the time to answer is empty", "write one such as 24h")


def _wait(path: str, duration: str) -> Iterator[Problem]:
    if "${{" in duration:
        return
    try:
        read_duration_ms(duration)
    except ValueError:
        yield Problem(f"{path}.wait", f"{shorten(duration)} is not a duration", "write one such as 30s or 1h30m")


def _misplaced(step: Step, path: str) -> Iterator[Problem]:
    work = step.work
    if step.effect is not None and not isinstance(work, RunWork):
        yield Problem(f"{path}.effect", "only a run step declares its effect", "remove it; tools declare their own")
    if step.fallback and not isinstance(work, PromptWork):
        yield Problem(f"{path}.fallback", "only a prompt step has an agent to fall back from", "remove it")
    if step.repeatable is not None and not isinstance(work, (PromptWork, RunWork, UsesWork)):
        yield Problem(f"{path}.repeatable", "this step runs no commands", "remove repeatable")
    if step.repeatable is not None and step.repeatable.on and step.grants.network:
        what = "what comes over a network is not repeatable"
        yield Problem(f"{path}.repeatable", what, "remove repeatable, or grants.network")
    if step.output is not None and isinstance(work, UsesWork):
        yield Problem(
            f"{path}.output", "a Python step checks its own output", "remove output, and raise where it is wrong"
        )
    if step.output is not None and isinstance(work, (PlanWork, ApprovalWork, WaitWork)):
        yield Problem(f"{path}.output", "the output of this step has a shape of its own", "remove output")
    if step.retry is not None and isinstance(work, (PlanWork, ApprovalWork, WaitWork)):
        yield Problem(f"{path}.retry", "this step is not tried again", "remove retry, or use repeat")
    if step.tools is not None and not isinstance(work, (PromptWork, PlanWork)):
        yield Problem(f"{path}.tools", "only a prompt or a sub-plan uses tools by name", "remove it")

"""The built-in tool `run`: a command in the sandbox, in the step's tree as a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tenuto.adapters.sandboxes.places import search_path
from tenuto.adapters.tools.answers import BadArgumentsError, answer, arguments_of, refusal, schema
from tenuto.core.redaction import Redactor
from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants, ToolCall, ToolSpec
from tenuto.errors import ToolCallError
from tenuto.ports.tools import Sandbox, SandboxCommand, SandboxResult, Tool, ToolContext, ToolOutput

__all__ = ["RunTool"]

STREAM_BYTES_MAX = 1 << 20
COMMAND_CHARS_MAX = 100_000
_OF_ONE_RUN = frozenset(("TENUTO_ATTEMPT", "TENUTO_CALL_ID", "TENUTO_IDEMPOTENCY_KEY", "TENUTO_RUN_ID"))
TIMEOUT_MS_MAX = 24 * 3_600_000


class RunArguments(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    timeout_ms: int | None = None


class RunTool(Tool):
    """A shell command, run by `/bin/sh -c`. A non-zero exit is an `error` answer, so a step that runs it fails.

    The command sees PATH (by default this Python's, then the system's), HOME and LANG, what the context adds, and
    nothing else of the engine's environment. Paths of grants are absolute, or relative to `granted_below`, which a
    command with granted paths is told as TENUTO_REPOSITORY. Output that is no UTF-8 is shown with U+FFFD. A timeout
    is a ToolCallError; else the value is `{exit_code, stdout, stderr, truncated}`, and where output was dropped
    `dropped_bytes`.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        path: str | None = None,
        granted_below: Path | None = None,
        stream_bytes_max: int = STREAM_BYTES_MAX,
    ) -> None:
        self._sandbox = sandbox
        self._path = search_path() if path is None else path
        self._granted_below = granted_below
        self._stream_bytes_max = stream_bytes_max
        self._spec = ToolSpec(
            description="Run a shell command in the repository; it sees nothing else, and no network unless granted.",
            effect="workspace",
            name="run",
            output_schema=schema(
                {
                    "dropped_bytes": {"minimum": 1, "type": "integer"},
                    "exit_code": {"type": "integer"},
                    "stderr": {"type": "string"},
                    "stdout": {"type": "string"},
                    "truncated": {"type": "boolean"},
                },
                required=("exit_code", "stderr", "stdout", "truncated"),
            ),
            parameters=schema(
                {
                    "command": {
                        "description": "run by /bin/sh -c at the top of the repository",
                        "maxLength": COMMAND_CHARS_MAX,
                        "minLength": 1,
                        "type": "string",
                    },
                    "timeout_ms": {
                        "description": "most milliseconds it may take",
                        "maximum": TIMEOUT_MS_MAX,
                        "minimum": 1,
                        "type": "integer",
                    },
                },
                required=("command",),
            ),
            tool_id="builtin:run",
            version="1",
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            asked = arguments_of(call, RunArguments)
            command = await self._command(asked, context)
        except BadArgumentsError as error:
            return refusal(str(error))
        result = await self._sandbox.run(command)
        if result.ended == "timeout":
            raise ToolCallError(
                f"the command did not end within {command.timeout_us / 1e6:g} s",
                kind="timeout",
                retryable=True,
                where=call.call,
            )
        return _output(result, context.secrets)

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:  # noqa: ARG002 - repeated, never reconciled
        return None

    async def _command(self, asked: RunArguments, context: ToolContext) -> SandboxCommand:
        if "\0" in asked.command or not asked.command.strip():
            raise BadArgumentsError("command is empty or holds a NUL")
        try:
            asked.command.encode()
        except UnicodeEncodeError:
            raise BadArgumentsError("command holds a lone surrogate, which is no text") from None
        timeout_us = context.deadline_us
        if asked.timeout_ms is not None:
            timeout_us = min(timeout_us, max(1, asked.timeout_ms) * 1_000)
        grants, repetition = context.grants, context.repetition
        directory = await context.directory()
        return SandboxCommand(
            argv=("/bin/sh", "-c", asked.command),
            directory=str(directory.path),
            environment={
                "HOME": "/tmp",
                "LANG": "C.UTF-8",
                "PATH": self._path,
                **self._told(grants),
                **(context.environment if repetition is None else _repeated(context.environment, repetition)),
            },
            network=grants.network,
            output_bytes_max=self._stream_bytes_max,
            readable=self._granted(grants.read),
            repetition=repetition,
            timeout_us=timeout_us,
            writable=self._granted(grants.write),
        )

    def _told(self, grants: Grants) -> dict[str, str]:
        """Where relative granted paths are: the command itself runs in a copy of the tree."""
        if self._granted_below is None or not (grants.read or grants.write):
            return {}
        return {"TENUTO_REPOSITORY": os.path.abspath(self._granted_below)}

    def _granted(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """Granted paths as absolute ones. Raises BadArgumentsError for one that is not there."""
        found = []
        for path in paths:
            whole = os.path.expanduser(path)
            if not os.path.isabs(whole):
                if self._granted_below is None:
                    raise BadArgumentsError(f"the granted path {path!r} must be absolute")
                whole = os.path.join(self._granted_below, whole)
            if not os.path.exists(whole):
                raise BadArgumentsError(f"the granted path {path!r} does not exist")
            found.append(os.path.normpath(whole))
        return tuple(found)


def _repeated(environment: Mapping[str, str], repetition: Repetition) -> dict[str, str]:
    """The variables of a repeatable command: without those that are other ones in each run."""
    kept = {name: value for name, value in environment.items() if name not in _OF_ONE_RUN}
    return {
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",  # all files are as old as each other: a stale one would be taken
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(repetition.clock_s),
        "TZ": "UTC",
        **kept,
    }


def _output(result: SandboxResult, secrets: Mapping[str, str]) -> ToolOutput:
    stdout, stderr = result.stdout, result.stderr
    if result.dropped_bytes and secrets:
        # Half a secret at the cut is none that anybody would recognise later.
        redactor = Redactor(secrets)
        stdout, stderr = redactor.whole(stdout), redactor.whole(stderr)
    value = {
        "exit_code": result.exit_code,
        "stderr": stderr.decode(errors="replace"),
        "stdout": stdout.decode(errors="replace"),
        "truncated": result.dropped_bytes > 0,
    }
    if result.dropped_bytes:
        value["dropped_bytes"] = result.dropped_bytes
    output = answer(value)
    return output if result.exit_code == 0 else ToolOutput(status="error", value=output.value)

"""Python functions as tools: `@tool` builds a `FunctionTool`, and nothing else happens.

Functions run in this process and are trusted code. A synchronous one runs in a thread of its own; when its time is
over the call ends, but the thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from tenuto.adapters.tools.answers import BadArgumentsError, answer, arguments_of, refusal
from tenuto.adapters.tools.signatures import Signature, signature_of
from tenuto.adapters.tools.threads import in_thread
from tenuto.core.canonical import clean
from tenuto.core.redaction import Redactor
from tenuto.core.tools import Effect, ToolCall, ToolSpec
from tenuto.errors import FencedError, MissingArtifactError, StorageError, ToolCallError, UsageError
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.ports.workspace import TreeEdit

__all__ = ["FunctionTool", "tool"]

Reconcile = Callable[[ToolCall], Any]
"""Asked after a crash what a call in doubt did: its value, or None where it was never made. May be async."""

_OURS = (ToolCallError, StorageError, FencedError, MissingArtifactError)
"""Not the function's answer: the call did not come back, or the store below it cannot work."""


def tool(
    *,
    effect: Effect = "once",
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    timeout_ms: int = 120_000,
    reconcile: Reconcile | None = None,
    approval: bool = False,
) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function: type hints become the schemas, the docstring's first paragraph the description.

    `version` is by default the SHA-256 of the function's source, so that a changed function is a changed tool;
    code that it calls is not part of it. Undeclared effects are `once`. With `approval` a person must agree before
    each call. A parameter annotated `ToolContext` or `TreeEdit` is filled in. UsageError where the function cannot
    be one.
    """

    def build(function: Callable[..., Any]) -> FunctionTool:
        return FunctionTool(
            function,
            effect=effect,
            name=name,
            version=version,
            description=description,
            timeout_ms=timeout_ms,
            reconcile=reconcile,
            approval=approval,
        )

    return build


class FunctionTool(Tool):
    """A function as a tool. Calling the object calls the function."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        effect: Effect = "once",
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
        timeout_ms: int = 120_000,
        reconcile: Reconcile | None = None,
        approval: bool = False,
    ) -> None:
        where = f"{function.__module__}.{function.__qualname__}"
        self.function = function
        self._reconcile = reconcile
        self._is_async = inspect.iscoroutinefunction(function)
        self._signature = signature_of(function)
        if TreeEdit in self._signature.injected.values() and not self._is_async:
            raise UsageError("a tool that takes a TreeEdit must be `async def`", where=where)
        self._spec = ToolSpec(
            approval=approval,
            description=description or _first_paragraph(function) or function.__name__.replace("_", " "),
            effect=effect,
            name=name or function.__name__,
            output_schema=self._signature.output_schema,
            parameters=self._signature.parameters,
            reconcilable=reconcile is not None,
            timeout_ms=timeout_ms,
            tool_id=f"python:{function.__module__}:{function.__qualname__}",
            version=version or _source_hash(function, where),
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            given = _given(arguments_of(call, self._signature.arguments), self._signature, context)
        except BadArgumentsError as error:
            return refusal(str(error))
        limit_s = min(self._spec.timeout_ms * 1_000, context.deadline_us) / 1e6
        timer = asyncio.timeout(limit_s)
        try:
            async with timer:
                return _output(await self._run(given))
        except _OURS:
            raise
        except TimeoutError as error:
            if timer.expired():
                raise ToolCallError(
                    f"{self._spec.name} did not end within {limit_s:g} s",
                    kind="timeout",
                    retryable=self._spec.effect != "once",
                    where=call.call,
                ) from None
            return _refused(error, context)
        except Exception as error:  # noqa: BLE001 - the one place where a function's failure becomes its answer
            return _refused(error, context)
        except SystemExit as error:
            return _refused(error, context)

    async def _run(self, given: dict[str, Any]) -> Any:
        if self._is_async:
            return await self.function(**given)
        value = await in_thread(lambda: self.function(**given), name=f"tool {self._spec.name}")
        return await value if inspect.isawaitable(value) else value

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:
        if self._reconcile is None:
            return None
        if inspect.iscoroutinefunction(self._reconcile):
            value = await self._reconcile(call)
        else:
            asked = self._reconcile
            value = await in_thread(lambda: asked(call), name=f"reconcile {self._spec.name}")
        return None if value is None else _output(value)


def _given(arguments: msgspec.Struct, signature: Signature, context: ToolContext) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in arguments.__struct_fields__}
    for name, wanted in signature.injected.items():
        given[name] = context if wanted is ToolContext else context.files
    return given


def _output(value: Any) -> ToolOutput:
    """A function's value as canonical JSON; sets are sorted, since their order is not the same in every process."""
    if isinstance(value, ToolOutput):
        return value
    return answer(clean(msgspec.to_builtins(value, str_keys=True, order="deterministic")))


def _refused(error: BaseException, context: ToolContext) -> ToolOutput:
    # Secrets are taken out here already: half of one, where a long message is cut, would not be recognised later.
    text = _said(error)
    return refusal(Redactor(context.secrets).text(text) if context.secrets else text)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n", 1)[0].split())


def _source_hash(function: Callable[..., Any], where: str) -> str:
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        raise UsageError("its source cannot be read", where=where, fix="declare a version") from None

"""What a run came to: its result brought into a repository, and the bodies that its models and tools returned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from tenuto.adapters.workspace.apply_branch import AppliedBranch, apply_to_branch
from tenuto.adapters.workspace.apply_directory import Applied, apply_to_directory
from tenuto.adapters.workspace.branch_commit import BranchCommit
from tenuto.adapters.workspace.comparing import Result
from tenuto.app.build import Store, open_workspace
from tenuto.app.config import Settings
from tenuto.app.driving import read_start
from tenuto.app.finding import resolve_run
from tenuto.core.canonical import digest
from tenuto.core.events.call import ModelCallRequested, ModelReplied, ToolCallRequested, ToolReturned
from tenuto.core.events.run import RunEnded
from tenuto.core.ids import Digest, RunId, call_id, split_position
from tenuto.core.problems import shorten
from tenuto.core.records import Record, bodies, decode
from tenuto.core.spec import RunSpec
from tenuto.core.tools import ToolResult
from tenuto.errors import RefusedRequestError, TenutoError, UsageError
from tenuto.runtime.imported import is_imported
from tenuto.runtime.loading import load_records

__all__ = ["AppliedRun", "ListedArtifact", "apply_run", "artifacts_of", "read_artifact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRun:
    """What an apply did to the files of `directory`, or to the branch `branch` of its repository."""

    run: RunId
    directory: Path
    done: Applied | AppliedBranch
    branch: str | None = None

    @property
    def left(self) -> tuple[str, ...]:
        """Paths that were left alone, because somebody changed them meanwhile or they are in the way."""
        return self.done.left if isinstance(self.done, Applied) else ()

    @property
    def displaced(self) -> Path | None:
        """Where the files are that were replaced or deleted; None where there were none."""
        return self.done.displaced if isinstance(self.done, Applied) else None

    @property
    def resumed(self) -> bool:
        """Whether an apply that was interrupted has been finished."""
        return isinstance(self.done, Applied) and self.done.resumed

    @property
    def whole(self) -> bool:
        """Whether the result is in place, all of it."""
        return self.done.status in ("applied", "unchanged") and not self.left


async def apply_run(
    settings: Settings,
    store: Store,
    given: str,
    *,
    to: Path | None = None,
    branch: str | None = None,
    merge: bool = False,
) -> AppliedRun:
    """Bring a run's final tree into its repository (or `to`), or onto a new branch of it.

    RefusedRequestError for a run that has not ended; TenutoError for one that failed, except onto a branch.
    """
    run = await resolve_run(store.journal, given)
    started, spec = await read_start(store, run)
    ended, at_us = await _end_of(store, run)
    directory = Path(started.repository) if to is None else to
    if to is None and await is_imported(store.journal, store.artifacts, run):
        raise UsageError(
            "the run was imported, so its directory is not here", where=f"run {run}", fix="name one by --to"
        )
    if to is None and not started.repository:
        raise UsageError("the run is of no directory", where=f"run {run}", fix="name one by --to")
    # A directory that was named, and is not there yet, is made for the files.
    if not directory.is_dir() and (to is None or branch is not None or directory.exists()):
        raise UsageError("this is not a directory", where=str(directory), fix="name another one by --to")
    if ended.status != "ok" and branch is None:
        failed = TenutoError(
            f"run {run} has {ended.status}, so its files are not applied",
            fix=f"look at them on a branch: `tenuto apply {run} --branch NAME`",
        )
        failed.code = "refused"
        raise failed
    result = Result(base=started.tree, head=started.commit, run=run, tree=ended.tree)
    workspace = open_workspace(store)
    done: Applied | AppliedBranch
    try:
        if branch is None:
            done = await apply_to_directory(
                workspace,
                directory,
                result,
                displaced=store.path / "displaced",
                environment=settings.variables,
                merge=merge,
            )
        else:
            commit = BranchCommit(at_s=at_us // 1_000_000, branch=branch, message=_message(spec, run, ended))
            done = await apply_to_branch(
                workspace, directory, result, commit, environment=settings.variables, merge=merge
            )
    finally:
        await workspace.close()
    return AppliedRun(run=run, directory=directory, done=done, branch=branch)


async def _end_of(store: Store, run: RunId) -> tuple[RunEnded, int]:
    """The last record of a run that has ended, and its time."""
    head = await store.journal.head(run)
    async for row in store.journal.read(run, after=head.seq - 1):
        record = decode(row.body)
        if isinstance(record.event, RunEnded):
            return record.event, record.at
    raise RefusedRequestError(f"run {run} has not ended", fix=f"see `tenuto show {run}`")


def _message(spec: RunSpec, run: RunId, ended: RunEnded) -> str:
    about = spec.plan.description or f"The result of the plan {spec.plan.name}."
    return f"{spec.plan.name}: the result of {run}\n\n{about}\n\nRun: {run}\nResult: {ended.result}\n"


class ListedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A body that a run holds, and who made it. `result` is the typed record of a tool call."""

    kind: Literal["reply", "result"]
    digest: Digest
    size: int
    call: str
    step: str
    agent: str | None = None
    model: str | None = None
    tool: str | None = None
    result: ToolResult | None = None


async def artifacts_of(store: Store, given: str) -> tuple[RunId, list[ListedArtifact]]:
    """Every reply and every tool result of a run, in the order in which they came."""
    run = await resolve_run(store.journal, given)
    _, spec = await read_start(store, run)
    _, records = await load_records(store.journal, store.contents, run)
    models: dict[str, ModelCallRequested] = {}
    tools: dict[str, ToolCallRequested] = {}
    found: list[ListedArtifact] = []
    for record in records:
        match record.event:
            case ModelCallRequested() as event:
                models[event.call] = event
            case ToolCallRequested() as event:
                tools[event.call] = event
            case ModelReplied() as event:
                found.append(_reply(event, models[event.call]))
            case ToolReturned() as event:
                found.append(_result(run, spec, record, event, tools[event.call]))
            case _:
                pass
    return run, found


def _reply(event: ModelReplied, asked: ModelCallRequested) -> ListedArtifact:
    return ListedArtifact(
        agent=asked.agent,
        call=event.call,
        digest=event.reply.digest,
        kind="reply",
        model=asked.config.model,
        size=event.reply.length,
        step=split_position(event.call)[0],
    )


def _result(
    run: RunId, spec: RunSpec, record: Record, event: ToolReturned, asked: ToolCallRequested
) -> ListedArtifact:
    step = split_position(event.call)[0]
    name = step.partition("[")[0].partition("/")[0]
    tool = spec.registry.tools.get(asked.tool)
    schema = None if tool is None or tool.output_schema is None else tool.output_schema
    result = ToolResult(
        arguments=asked.arguments.raw,
        artifact_id=event.result.digest,
        call=call_id(run, event.call),
        consuming_steps=tuple(other.name for other in spec.plan.steps if name in other.needs),
        duration_ms=event.duration_ms,
        output_schema=None if schema is None else digest(bytes(schema)),
        producing_agent=asked.agent,
        producing_step=step,
        schema_met=event.schema_met,
        status=event.status,
        timestamp_us=record.at,
        tool_id=asked.tool if tool is None else tool.tool_id,
        tool_name=asked.tool,
        tool_version=asked.version,
    )
    return ListedArtifact(
        agent=asked.agent,
        call=event.call,
        digest=event.result.digest,
        kind="result",
        result=result,
        size=event.result.length,
        step=step,
        tool=asked.tool,
    )


async def read_artifact(store: Store, given: str, name: str) -> tuple[Digest, bytes]:
    """One body of a run by its digest or the beginning of it. UsageError where none or several begin so."""
    run, listed = await artifacts_of(store, given)
    digests = sorted({artifact.digest for artifact in listed if name and artifact.digest.startswith(name)})
    if len(digests) != 1:
        what = f"{len(digests)} artifacts begin with" if digests else "the run has no artifact"
        raise UsageError(f"{what} {shorten(name)}", where=f"run {run}", fix=f"`tenuto artifacts {run}` lists them")
    return digests[0], await _body(store, run, digests[0])


async def _body(store: Store, run: RunId, wanted: Digest) -> bytes:
    """A body that a record carries, or that lies in the store."""
    _, records = await load_records(store.journal, store.contents, run)
    for record in records:
        for _, content in bodies(record.event):
            if content.digest == wanted and content.at_hand:
                return content.data
    return await store.contents.get(wanted)

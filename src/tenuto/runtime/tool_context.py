"""What a tool may use of the world while it serves one call: its step's tree, its environment, its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenuto.core.ids import Digest
from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants, ToolCall
from tenuto.errors import UsageError
from tenuto.ports.tools import ToolContext
from tenuto.ports.workspace import TreeEdit, WorkingDirectory, Workspace

__all__ = ["CallContext", "call_environment"]


def call_environment(call: ToolCall, granted: Mapping[str, str]) -> dict[str, str]:
    """The variables a tool process is told (design 11), over those its step was granted."""
    return {
        **granted,
        "TENUTO_RUN_ID": call.run,
        "TENUTO_STEP": call.step,
        "TENUTO_CALL_ID": call.call,
        "TENUTO_IDEMPOTENCY_KEY": call.key,
        "TENUTO_ATTEMPT": str(call.attempt),
    }


class CallContext(ToolContext):
    """The context of one call. `tree` gives the tree after it, `close` returns what was borrowed.

    `keep`: globs of ignored files that belong to the tree nevertheless, where a command makes them.
    """

    def __init__(
        self,
        workspace: Workspace,
        tree: Digest,
        edit: TreeEdit,
        *,
        environment: Mapping[str, str],
        grants: Grants,
        deadline_us: int,
        keep: Sequence[str] = (),
        repetition: Repetition | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._tree = tree
        self._edit = edit
        self._environment = environment
        self._grants = grants
        self._deadline_us = deadline_us
        self._keep = keep
        self._repetition = repetition
        self._secrets = dict(secrets or {})
        self._directory: WorkingDirectory | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    @property
    def grants(self) -> Grants:
        return self._grants

    @property
    def repetition(self) -> Repetition | None:
        return self._repetition

    @property
    def secrets(self) -> Mapping[str, str]:
        return self._secrets

    @property
    def deadline_us(self) -> int:
        return self._deadline_us

    @property
    def files(self) -> TreeEdit:
        return self._edit

    async def directory(self) -> WorkingDirectory:
        if self._directory is None:
            self._directory = await self._workspace.directory(self._tree, keep=self._keep)
        return self._directory

    async def tree(self) -> Digest:
        """The tree as the tool left it."""
        return await (self._edit.commit() if self._directory is None else self._directory.capture())

    def without_place(self, error: UsageError) -> str:
        """What is wrong with the files that a tool left. Where the engine keeps them is no part of a record."""
        text = f"the files it left cannot be kept: {error}"
        return text if self._directory is None else text.replace(f"{self._directory.path}/", "")

    async def close(self) -> None:
        """Give the directory back; one that may hold secrets, in ignored files too, is removed. Idempotent."""
        if self._directory is not None:
            await self._directory.close(reuse=not self._secrets)
            self._directory = None

"""The built-in tool `apply_patch`: files changed, created, deleted and moved by one patch, or none of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from tenuto.adapters.tools.answers import BadArgumentsError, arguments_of, schema
from tenuto.adapters.tools.begin_patch import BEGIN, read_begin_patch
from tenuto.adapters.tools.changing import write_bytes
from tenuto.adapters.tools.files import FileTool, bytes_at
from tenuto.adapters.tools.hunks import Changed, apply_hunks
from tenuto.adapters.tools.patches import FilePatch, Hunk, PatchError, read_unified
from tenuto.adapters.tools.texts import BinaryFileError, FileText, file_text
from tenuto.core.canonical import clean
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.ports.workspace import TreeEdit

__all__ = ["ApplyPatchTool"]

PATCH_CHARS_MAX = 1 << 20
FILES_MAX = 500


class PatchArguments(msgspec.Struct, forbid_unknown_fields=True):
    patch: str


class ApplyPatchTool(FileTool):
    """`apply_patch`: a unified diff, or a patch that begins with `*** Begin Patch`.

    Old lines must be in the file exactly (fuzz 0): at the line that the hunk names, else at one other place only.
    All files are worked out before the first is written, so that a patch that does not apply changes nothing.
    Encodings, line ends and the line end at a file's end stay as they are, where the patch does not change them.
    """

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Apply a patch to one or several files: a unified diff (--- a/PATH, +++ b/PATH, @@, "
                "/dev/null for new and deleted files), or the form that begins with *** Begin Patch. "
                "All of it is applied, or nothing.",
                effect="workspace",
                name="apply_patch",
                output_schema=schema(
                    {
                        "files": {
                            "items": {
                                "additionalProperties": False,
                                "properties": {
                                    "added": {"minimum": 0, "type": "integer"},
                                    "did": {"enum": ["changed", "copied", "created", "deleted", "moved"]},
                                    "from": {"type": "string"},
                                    "path": {"type": "string"},
                                    "removed": {"minimum": 0, "type": "integer"},
                                },
                                "required": ["added", "did", "path", "removed"],
                                "type": "object",
                            },
                            "type": "array",
                        },
                        "notes": {"items": {"type": "string"}, "type": "array"},
                    },
                    required=("files",),
                ),
                parameters=schema(
                    {
                        "patch": {
                            "description": "the whole patch",
                            "maxLength": PATCH_CHARS_MAX,
                            "minLength": 1,
                            "type": "string",
                        }
                    },
                    required=("patch",),
                ),
                tool_id="builtin:apply_patch",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        text = str(clean(arguments_of(call, PatchArguments).patch))
        if len(text) > PATCH_CHARS_MAX:
            raise BadArgumentsError(f"the patch has {len(text)} characters; at most {PATCH_CHARS_MAX} are read")
        if text.count("\r\n") == text.count("\n"):
            text = text.replace("\r\n", "\n")
        try:
            patches = read_begin_patch(text) if text.lstrip().startswith(BEGIN) else read_unified(text)
            if len(patches) > FILES_MAX:
                raise PatchError(f"the patch has {len(patches)} files; at most {FILES_MAX} are taken at once")
            draft = Draft(files)
            shown = [await draft.apply(patch) for patch in patches]
        except PatchError as error:
            raise BadArgumentsError(f"{error}; nothing was changed") from None
        await draft.write()
        return {"files": shown, "notes": draft.notes[:50]} if draft.notes else {"files": shown}


class Draft:
    """What files will be when a patch has been applied; nothing of it is in the tree before `write`."""

    def __init__(self, files: TreeEdit) -> None:
        self._files = files
        self._bodies: dict[str, bytes | None] = {}
        self._modes: dict[str, bool] = {}
        self.notes: list[str] = []

    async def apply(self, patch: FilePatch) -> dict[str, Any]:
        """Work out one file; what is said of it. PatchError."""
        source, target = patch.source, patch.target
        body = b"" if source is None else await self._body(source, patch)
        if target is not None and target != source and await self._there(target, patch):
            raise PatchError(f"patch line {patch.line}: there is a file {target} already")
        changed = Changed("", 0, 0, [])
        if patch.hunks:
            held = _text(body, patch)
            hunks = tuple(map(_without_returns, patch.hunks)) if held.carriage_returns else patch.hunks
            changed = apply_hunks(held.text, hunks, source or target or "")
            body = held.having(changed.text).data
            self.notes += changed.notes
        if target is None:
            if changed.text:
                raise PatchError(f"patch line {patch.line}: {source} has more lines than the patch deletes")
        else:
            mode = patch.executable
            if mode is None and source is not None:
                mode = await self._executable(source)
            self._bodies[target], self._modes[target] = body, bool(mode)
        if source is not None and source != target and not patch.copies:
            self._bodies[source] = None
        return _shown(patch, changed)

    async def _body(self, path: str, patch: FilePatch) -> bytes:
        if path in self._bodies:
            held = self._bodies[path]
            if held is None:
                raise PatchError(f"patch line {patch.line}: {path} was deleted or moved further up in the patch")
            return held
        try:
            return await bytes_at(self._files, path)
        except BadArgumentsError as error:
            raise PatchError(f"patch line {patch.line}: {error}") from None

    async def _there(self, path: str, patch: FilePatch) -> bool:
        if path in self._bodies:
            return self._bodies[path] is not None
        try:
            return await self._files.entry(path) is not None
        except ValueError as error:
            raise PatchError(f"patch line {patch.line}: {error}") from None

    async def _executable(self, path: str) -> bool:
        if path in self._modes:
            return self._modes[path]
        entry = await self._files.entry(path)
        return entry is not None and entry.mode == "100755"

    async def write(self) -> None:
        """Put it into the tree: first what goes, since a new file may stand where a directory was."""
        for path, body in self._bodies.items():
            if body is None and await self._files.entry(path) is not None:
                await self._files.delete(path)
        for path, body in self._bodies.items():
            if body is not None:
                await write_bytes(self._files, path, body, executable=self._modes[path])


def _text(body: bytes, patch: FilePatch) -> FileText:
    try:
        return file_text(body)
    except BinaryFileError as error:
        raise PatchError(
            f"patch line {patch.line}: {patch.source} is a binary file ({error}), which no hunk can change"
        ) from None


def _without_returns(hunk: Hunk) -> Hunk:
    """A hunk for a text whose line ends are LF, whatever they are in the file and the patch."""
    old, new, after = (tuple(line.removesuffix("\r") for line in part) for part in (hunk.old, hunk.new, hunk.after))
    return replace(hunk, old=old, new=new, after=after)


def _shown(patch: FilePatch, changed: Changed) -> dict[str, Any]:
    did = "changed"
    if patch.source is None:
        did = "created"
    elif patch.target is None:
        did = "deleted"
    elif patch.source != patch.target:
        did = "copied" if patch.copies else "moved"
    shown: dict[str, Any] = {
        "added": changed.added,
        "did": did,
        "path": patch.target or patch.source,
        "removed": changed.removed,
    }
    if did in ("moved", "copied"):
        shown["from"] = patch.source
    return shown

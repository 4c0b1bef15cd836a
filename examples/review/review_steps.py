"""What stands between the reviewers' choices. Nothing here asks a model."""

from __future__ import annotations

from typing import Any


async def look(ctx: Any, inputs: Any) -> list[dict[str, Any]]:
    """The files to review; `listing` is what a prompt shows."""
    found = await ctx.tool("find_findings", max_files=inputs.max_files)
    return [{**one, "listing": _listing(one["findings"])} for one in found]


async def compare(ctx: Any, inputs: Any) -> dict[str, Any]:
    """Which files the reviewers agree on, and those they dispute. Who had no answer agrees."""
    del ctx
    agreed: dict[str, str] = {}
    disputed: list[dict[str, Any]] = []
    for file, first, second in zip(inputs.files, inputs.safety, inputs.clarity, strict=True):
        named = list(dict.fromkeys(answer["worst"] for answer in (first, second) if answer))
        if len(named) == 2:
            disputed.append({"path": file["path"], "findings": named, "listing": _listing(named)})
        else:
            agreed[file["path"]] = named[0] if named else file["findings"][0]
    return {"agreed": agreed, "disputed": disputed}


async def write(ctx: Any, inputs: Any) -> str:
    """The page: every file with its worst finding first."""
    worst = dict(inputs.compared["agreed"])
    for file, answer in zip(inputs.compared["disputed"], inputs.decided or [], strict=False):
        worst[file["path"]] = answer["worst"] if answer else file["findings"][0]
    lines = ["# Review", "", "Found by rules; `~` marks what a model chose to put first."]
    for file in inputs.files:
        path, first = file["path"], worst.get(file["path"], file["findings"][0])
        lines += ["", f"## {path}", ""]
        for finding in sorted(file["findings"], key=lambda one: one != first):
            line, _, what = finding.partition(": ")
            lines.append(f"- `{path}:{line}` {what}{' ~' if finding == first and len(file['findings']) > 1 else ''}")
    return await ctx.tool("write_review", text="\n".join(lines) + "\n")


def _listing(findings: list[str]) -> str:
    return "\n".join(f"- {one}" for one in findings)

"""What stands between the commits and the page. The sections are fixed; rules know the plain cases."""

from __future__ import annotations

from typing import Any

SECTIONS = {
    "Added": ("add", "support", "allow", "introduce", "new", "show"),
    "Changed": ("change", "rename", "move", "make", "use", "replace", "drop", "remove", "require"),
    "Fixed": ("fix", "repair", "correct", "avoid", "prevent", "handle", "do not", "don't"),
    "Internal": ("test", "refactor", "ci", "docs", "chore", "style", "build", "typo", "comment"),
}
"""The sections, with the words that a subject of each begins with."""
NEWS_MAX = 4


async def sort(ctx: Any, inputs: Any) -> dict[str, Any]:
    """The commits with their sections, where rules know them; those that are `unclear`; what may be the headline."""
    del ctx
    commits = []
    for line in inputs.log.splitlines():
        commit, _, subject = line.partition(" ")
        commits.append({"commit": commit, "subject": subject, "section": _section(subject)})
    if not commits:
        raise ValueError("there are no commits: is the tag right?")
    unclear = [{**one, "sections": list(SECTIONS)} for one in commits if one["section"] is None]
    news = [one["subject"] for one in commits if one["section"] in ("Added", "Changed")]
    return {"commits": commits, "unclear": unclear, "news": list(dict.fromkeys(news))[:NEWS_MAX]}


async def write(ctx: Any, inputs: Any) -> str:
    """The page; `~` marks what a model sorted."""
    unclear = inputs.sorted["unclear"]
    chosen = {one["commit"]: answer["section"] for one, answer in zip(unclear, inputs.answers, strict=True) if answer}
    lines = [f"# {inputs.version}"]
    if inputs.headline:
        lines += ["", f"**{inputs.headline['headline']}**"]
    for section in SECTIONS:
        found = [
            f"- {one['subject']} ({one['commit']}){'' if one['section'] else ' ~'}"
            for one in inputs.sorted["commits"]
            if (one["section"] or chosen.get(one["commit"], "Changed")) == section
        ]
        if found:
            lines += ["", f"## {section}", "", *found]
    await ctx.tool("write_file", path="RELEASE_NOTES.md", content="\n".join(lines) + "\n")
    return "RELEASE_NOTES.md"


def _section(subject: str) -> str | None:
    words = subject.lower().removeprefix("feat: ").replace(":", " ")
    found = [
        section
        for section, beginnings in SECTIONS.items()
        if any(words.startswith((f"{one} ", f"{one}s ", f"{one}ed ")) for one in beginnings)
    ]
    return found[0] if len(found) == 1 else None

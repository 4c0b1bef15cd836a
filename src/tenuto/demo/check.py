"""Hold a page to the files it speaks of: every path exists, every name stands in its file.

Runs by itself (`python check.py PAGE`, in the repository's root) with nothing but the standard library of any
Python 3.8 or later: the demo runs it in the sandbox, where tenuto need not be installed.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

__all__ = ["check", "main"]

_ENTRY = re.compile(r"### \[`([^`]+)`\]")
_CODE = re.compile(r"`([^`]+)`")
_NAMES = ("- Defines:", "- Sections:", "- Gaps:")


def check(page: str, root: Path) -> dict[str, object]:
    """Count the paths and names of a page and list those that are missing, as `path` or `path: name`."""
    paths: set[str] = set()
    names: set[tuple[str, str]] = set()
    entry = ""
    for line in page.splitlines():
        heading = _ENTRY.match(line)
        if heading:
            entry = heading[1]
        spans = _CODE.findall(line)
        if line.startswith(_NAMES):
            names.update((entry, span) for span in spans)
        else:
            paths.update(spans)
    missing = sorted(path for path in paths if not (root / path).is_file())
    texts = {path: _text(root / path) for path in {path for path, _ in names}}
    missing += sorted(f"{path}: {name}" for path, name in names if not _stands(name, texts[path]))
    return {"missing": missing, "names": len(names), "paths": len(paths)}


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""


def _stands(name: str, text: str) -> bool:
    """Whether each word of a name (`Session.send`, or a heading) is in the text, as a whole word."""
    return all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in re.findall(r"\w+", name))


def main(arguments: list[str]) -> int:
    """Print what was found as one JSON object; 1 where the page is empty or names something that is missing."""
    page = Path(arguments[0]).read_text(encoding="utf-8")
    found = check(page, Path())
    sys.stdout.write(json.dumps(found, sort_keys=True) + "\n")
    return 1 if found["missing"] or not found["paths"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

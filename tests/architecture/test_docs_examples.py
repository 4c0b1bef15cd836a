"""Examples in README.md, docs/ and examples/ are run as they stand.

    ```python tested           run; the blocks of a page share one namespace, in order
    ```yaml file=NAME          written to NAME in the page's directory (any language)
    ```console                 where the first line is `$ tenuto ...`: every `$ ` line is run by a shell, and what it
                               prints is compared; a line `...` stands for any lines, `...` in a line for any text.
                               Without expected lines, it must end with exit code 0.
    ```console session         the same, whatever the first command is; where a command changes the directory, the
                               page's other sessions go on there, as in one terminal
    ```console local           as `console`, but only where the packaged local model is there
    ```console untested: why   not run

All examples of a page share one fresh directory; a page of examples/ has a copy of its own directory there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.models.local_weights import find_weights
from tenuto.errors import UsageError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    EXAMPLES / "README.md",
    *sorted(EXAMPLES.glob("*/README.md")),
]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Example:
    kind: str
    body: str
    line: int
    file: str = ""


def examples(text: str) -> Iterator[Example]:
    """What of a page is to be run, in order."""
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        line = text.count("\n", 0, match.start()) + 2
        if rest.startswith("file="):
            yield Example("file", match["body"], line, rest.removeprefix("file="))
        elif language == "python" and rest == "tested":
            yield Example("python", match["body"], line)
        elif language == "console" and rest == "session":
            yield Example("session", match["body"], line)
        elif language == "console" and match["body"].startswith("$ tenuto") and not rest.startswith("untested"):
            yield Example("local" if rest == "local" else "console", match["body"], line)


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines it is expected to print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        first, *expected = part.rstrip("\n").split("\n")
        while first.endswith("\\") and expected:
            first = f"{first[:-1]}{expected.pop(0)}"
        yield first, expected


def matches(expected: list[str], printed: str) -> bool:
    pattern = ""
    for line in expected:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"[ \t]*\n"
    text = printed if printed.endswith("\n") or not printed else f"{printed}\n"
    return re.fullmatch(pattern, text) is not None


def run_page(page: str, text: str, directory: Path, *, local: bool = False) -> int:
    """Run a page's examples; how many there were. AssertionError names the line of one that is wrong."""
    namespace: dict[str, Any] = {"__name__": "__example__"}
    count = 0
    here = directory
    for example in examples(text):
        if example.kind == "local" and not local:
            continue
        count += 1
        where = f"{page}:{example.line}"
        if example.file:
            path = directory / example.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.body, "utf-8")
        elif example.kind == "python":
            code = compile("\n" * (example.line - 1) + example.body, page, "exec", dont_inherit=True)
            exec(code, namespace)
        elif example.kind == "session":
            here = run_console(where, example.body, here, home=directory)
        else:
            run_console(where, example.body, directory, home=directory)
    return count


def run_console(where: str, body: str, directory: Path, home: Path | None = None) -> Path:
    """Run commands one by one; the directory that the last one ended in."""
    home = home or directory
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": search, "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "100", "NO_COLOR": "1"}
    place = home.with_name(f"{home.name}.directory")
    for command, expected in commands(body):
        done = subprocess.run(
            ["/bin/sh", "-c", f"trap 'pwd > \"{place}\"' EXIT; {command}"],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        if expected:
            assert matches(expected, done.stdout), f"{where}: $ {command}\nprinted:\n{done.stdout}"
        else:
            assert done.returncode == 0, f"{where}: $ {command}\nexit code {done.returncode}\n{done.stdout}"
        directory = Path(place.read_text().strip())
    return directory


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def has(page: Path, *kinds: str) -> bool:
    return any(example.kind in kinds for example in examples(page.read_text("utf-8")))


def prepared(page: Path, directory: Path) -> Path:
    """The directory in which a page's examples are run."""
    if page.parent.parent != EXAMPLES:
        return directory
    unwanted = shutil.ignore_patterns("__pycache__", ".tenuto")
    return Path(shutil.copytree(page.parent, directory / page.parent.name, ignore=unwanted))


def has_local_model() -> bool:
    try:
        find_weights("")
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("page", [p for p in PAGES if has(p, "file", "python", "console", "session")], ids=name)
def test_the_examples_of_a_page_do_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = prepared(page, tmp_path)
    monkeypatch.chdir(directory)
    assert run_page(str(page.relative_to(ROOT)), page.read_text("utf-8"), directory) > 0


@pytest.mark.local
@pytest.mark.skipif(not has_local_model(), reason="the packaged local model is not there")
@pytest.mark.parametrize("page", [p for p in PAGES if has(p, "local")], ids=name)
def test_the_examples_with_the_local_model_do_what_a_page_says(page: Path, tmp_path: Path) -> None:
    directory = prepared(page, tmp_path)
    assert run_page(str(page.relative_to(ROOT)), page.read_text("utf-8"), directory, local=True) > 0


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = [match["target"] for match in LINK.finditer(FENCE.sub("", page.read_text("utf-8")))]
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not broken


SAMPLE = """
```python tested
answer = 40
```
```python
raise AssertionError("not marked")
```
```text file=deep/note.txt
hello
```
```python tested
from pathlib import Path
assert Path("deep/note.txt").read_text() == "hello\\n"
answer += 2
```
"""


def test_the_runner_runs_what_is_marked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page("sample.md", SAMPLE, tmp_path) == 3
    with pytest.raises(AssertionError) as failure:
        run_page("sample.md", SAMPLE + "```python tested\nassert answer == 43\n```\n", tmp_path)
    assert failure.traceback[-1].lineno == SAMPLE.count("\n") + 1


def test_the_runner_compares_what_commands_print(tmp_path: Path) -> None:
    run_console("here", "$ printf 'a1\\nb\\nc\\n'\na...\n...\nc\n$ true\n", tmp_path)
    with pytest.raises(AssertionError, match=r"here: \$ echo no"):
        run_console("here", "$ echo no\nyes\n", tmp_path, home=tmp_path)
    with pytest.raises(AssertionError, match="exit code 3"):
        run_console("here", "$ exit 3\n", tmp_path, home=tmp_path)


def test_a_session_goes_on_where_the_last_command_led(tmp_path: Path) -> None:
    first = "```console session\n$ mkdir deep && cd deep\n$ pwd\n.../deep\n```\n"
    second = "```console session\n$ basename $PWD\ndeep\n```\n"
    assert run_page("page.md", first + second, tmp_path) == 2


def test_only_blocks_that_begin_with_our_command_are_run() -> None:
    text = "```console\n$ tenuto ls\n```\n```console\n$ pip install x\n```\n"
    text += "```console untested: long\n$ tenuto run p\n```\n"
    assert [e.body for e in examples(text)] == ["$ tenuto ls\n"]
    assert list(commands("$ tenuto run \\\n  p.yaml\nok\n$ tenuto ls\n")) == [
        ("tenuto run   p.yaml", ["ok"]),
        ("tenuto ls", []),
    ]

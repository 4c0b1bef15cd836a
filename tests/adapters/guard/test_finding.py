"""What a program reaches without `ctx`, found in its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tenuto.adapters.guard.finding import find_reaches
from tenuto.adapters.guard.reaches import BARE, EXACT, GROUPS

ROOT = Path(__file__).parents[3]
HEAD = """\
import asyncio, datetime, hashlib, os, random, socket, subprocess, time, uuid
import os.path as p
import urllib.request
from datetime import date, datetime as moment
from pathlib import Path
from time import time as t
import httpx

SETTING = os.environ["A"]
LIMIT = 3
PLACE = Path("notes")
KINDS = {"a", "b"}
later = time.time


async def go(ctx, inputs):
"""


def found(directory: Path, body: str, head: str = HEAD) -> list[tuple[int, str]]:
    """Line (of the body, from 1) and name of each finding."""
    (directory / "work.py").write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))
    findings = find_reaches("a", "python:work:go", directory)
    lines = [(int(f.where.split(":")[-2]) - head.count("\n"), f.what) for f in findings]
    return [(line, what.partition("(")[2].rstrip(")")) for line, what in lines]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("t()", "time.time"),
        ("moment.now()", "datetime.datetime.now"),
        ("moment.now(datetime.timezone.utc).isoformat()", "datetime.datetime.now"),
        ("date.today()", "datetime.date.today"),
        ("time.localtime()", "time.localtime"),
        ("time.strftime('%Y')", "time.strftime"),
        ("time.sleep(1)", "time.sleep"),
        ("await asyncio.sleep(1)", "asyncio.sleep"),
        ("await asyncio.gather(ctx.model('x'))", "asyncio.gather"),
        ("random.choice([1, 2])", "random.choice"),
        ("random.Random()", "random.Random"),
        ("uuid.uuid4().hex", "uuid.uuid4"),
        ("os.urandom(3)", "os.urandom"),
        ("os.environ.get('HOME')", "os.environ.get"),
        ("x = os.environ['HOME']", "os.environ"),
        ("os.getenv('HOME')", "os.getenv"),
        ("p.exists('x')", "os.path.exists"),
        ("open('x').read()", "open"),
        ("Path('x').read_text()", "Path.read_text"),
        ("(Path('x') / 'y').with_suffix('.md').write_text('')", "Path.write_text"),
        ("[one.name for one in PLACE.iterdir()]", "Path.iterdir"),
        ("Path.cwd()", "pathlib.Path.cwd"),
        ("input('name?')", "input"),
        ("hash('x')", "hash"),
        ("socket.create_connection(('x', 1))", "socket.create_connection"),
        ("urllib.request.urlopen('x')", "urllib.request.urlopen"),
        ("httpx.get('x')", "httpx.get"),
        ("subprocess.run(['x'])", "subprocess.run"),
        ("os.system('x')", "os.system"),
        ("sorted([1], key=lambda _: t())", "time.time"),
        ("from secrets import token_hex; token_hex()", "secrets.token_hex"),
        ("sorted([1], key=time.monotonic)", "time.monotonic"),
        ("for one in {'a', 'b'}: pass", "a set"),
        ("for one in set(inputs.names): pass", "a set"),
        ("[one for one in KINDS]", "a set"),
        ("[one for one in KINDS | {'c'}]", "a set"),
        ("list({name for name in inputs})", "a set"),
        ("', '.join(set(inputs))", "a set"),
        ("[*KINDS]", "a set"),
        ("next(iter(KINDS))", "a set"),
        ("f'{KINDS}'", "a set"),
        ("min(KINDS, key=len)", "a set"),
        ("set(inputs).pop()", "set.pop"),
    ],
)
def test_what_reaches_out_is_found(tmp_path: Path, code: str, name: str) -> None:
    assert found(tmp_path, f"await ctx.model('x')\n{code}") == [(2, name)]


@pytest.mark.parametrize(
    "code",
    [
        "ctx.now(); ctx.random().choice([1]); await ctx.sleep(1)",
        "time.localtime(5); time.strftime('%Y', time.gmtime(0))",
        "random.Random(7).random()",
        "uuid.uuid5(uuid.NAMESPACE_URL, 'x')",
        "hashlib.sha256(b'x').hexdigest()",
        "p.join('a', 'b'); os.path.basename('x'); os.sep",
        "Path('x').name; PLACE.suffix; PLACE / 'x'",
        "moment.fromisoformat('2026-01-01'); date(2026, 1, 1); datetime.timedelta(1)",
        "open = inputs.open\nopen('x')",
        "time = inputs\ntime.time()",
        "def hash(x): return x\nhash('x')",
        "print('x')",
        "x: httpx.Client | None = None",
        "try: pass\nexcept (httpx.HTTPError, subprocess.CalledProcessError): pass",
        "inputs.read_text(); inputs.exists()",
        "sorted(KINDS); len(KINDS); 'a' in KINDS; KINDS | {'c'}",
        "{x for x in KINDS}; min(KINDS)",
        "sorted(x for x in KINDS)",
        "sorted(map(str, KINDS)); any(x for x in KINDS)",
        "for x in {1, 2}: pass",
        "kinds = set(inputs)\nkinds = sorted(kinds)\nfor x in kinds: pass",
        "raise httpx.TimeoutException('x')",
        "isinstance(inputs, (asyncio.Future, asyncio.Task))",
        "LIMIT + 1",
    ],
)
def test_what_is_pure_is_not(tmp_path: Path, code: str) -> None:
    assert found(tmp_path, code) == []


def test_what_it_calls_of_its_project_is_read_too_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text(
        "from .deep import stamp as mark\nfrom time import time as tick\n"
    )
    (tmp_path / "helpers" / "deep.py").write_text(
        "import time, os\n\n\ndef stamp():\n    return Clock().read()\n\n\n"
        "def unused():\n    return os.getcwd()\n\n\n"
        "class Clock:\n    def read(self):\n        return time.time()\n"
    )
    (tmp_path / "star.py").write_text("import random\n\ndef draw():\n    return random.random()\n")
    head = "import helpers\nfrom star import *\nfrom os import *\n\nasync def go(ctx, inputs):\n"
    (tmp_path / "work.py").write_text(head + "    helpers.mark()\n    helpers.tick()\n    draw()\n    urandom(1)\n")
    places = [
        (Path(f.where.rsplit(":", 2)[0]).relative_to(tmp_path).as_posix(), f.where.split(":")[-2], f.fix)
        for f in find_reaches("a", "python:work:go", tmp_path)
    ]
    assert places == [
        ("helpers/deep.py", "14", "use ctx.now()"),
        ("star.py", "4", "use ctx.random()"),
        ("work.py", "7", "use ctx.now()"),
        ("work.py", "9", "use ctx.random()"),
    ]


def test_values_of_the_module_count_where_they_are_used(tmp_path: Path) -> None:
    assert found(tmp_path, "return LIMIT") == []
    lines = HEAD.splitlines()
    setting, late = (n - len(lines) for n, line in enumerate(lines, 1) if line.startswith(("SETTING", "later")))
    assert found(tmp_path, "return SETTING, later()") == [(setting, "os.environ"), (late, "time.time")]


def test_a_line_may_be_allowed(tmp_path: Path) -> None:
    body = "x = t()  # only shown  # tenuto: allow\ny = '# tenuto: allow'; t()\n"
    body += "open(\n    'x',\n)  # tenuto: allow"
    assert found(tmp_path, body) == [(2, "time.time")]


def test_one_line_says_where_what_and_what_to_do(tmp_path: Path) -> None:
    found(tmp_path, "x = t()")
    (finding,) = find_reaches("mine", "python:work:go", tmp_path)
    assert str(finding) == f"{tmp_path}/work.py:17:9: step mine reaches a clock (time.time); use ctx.now()"


def test_programs_that_are_installed_are_read_within_their_package(tmp_path: Path) -> None:
    for step in ("survey", "group", "write"):
        assert find_reaches(step, f"python:tenuto.demo.steps:{step}", tmp_path) == []
    assert find_reaches("x", "python:json:loads", tmp_path) == []
    assert find_reaches("x", "python:tenuto.adapters.clock:SystemClock", tmp_path)


def test_a_module_that_cannot_be_parsed_is_left_to_those_who_import_it(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("async def go(:\n")
    assert find_reaches("a", "python:work:go", tmp_path) == []
    assert find_reaches("a", "python:not_there_at_all:go", tmp_path) == []


def test_our_own_programs_reach_nothing() -> None:
    assert find_reaches("review", "python:steps:review", ROOT / "tests" / "proofs" / "plans") == []
    init = ROOT / "src" / "tenuto" / "adapters" / "plans" / "init" / "program"
    assert find_reaches("choose", "python:naming:choose", init) == []


def test_every_name_of_the_table_is_a_dotted_name_that_can_be_written() -> None:
    names = [*EXACT, *GROUPS, *BARE]
    assert all(isinstance(ast.parse(name, mode="eval").body, ast.Attribute | ast.Name) for name in names)

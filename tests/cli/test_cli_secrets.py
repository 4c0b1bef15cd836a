"""Secrets by name: steps get them, and nothing that tenuto writes or says holds them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.core.secret_forms import forms_of

pytestmark = pytest.mark.sandbox

Tenuto = Callable[..., Any]

SECRET = 'k3y-"quoted"/with+all= &ü'

LEAK = """\
import base64, json, os, sys, urllib.parse
key = os.environ["DEPLOY_KEY"]
for out in (sys.stdout, sys.stderr):
    print(key, json.dumps({"k": key}), json.dumps(json.dumps(key)), file=out)
    print(urllib.parse.quote(key), urllib.parse.quote(key, safe=""), urllib.parse.quote_plus(key), file=out)
    for at in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            print(encode(b"." * at + key.encode() + b"...").decode(), file=out)
    print(base64.encodebytes(b"." * 50 + key.encode()).decode(), file=out)
print(len(key))
"""

TOOLS = '''\
from tenuto.adapters.tools.functions import tool
from tenuto.ports.tools import ToolContext
from tenuto.ports.workspace import TreeEdit

@tool(effect="read")
def length(context: ToolContext) -> int:
    """How long the key is."""
    return len(context.secrets["DEPLOY_KEY"])

@tool(effect="read")
def show(context: ToolContext) -> dict[str, str]:
    return {"key": context.secrets["DEPLOY_KEY"]}

@tool(effect="read")
def fail(context: ToolContext) -> int:
    raise RuntimeError("x" * 1980 + context.secrets["DEPLOY_KEY"])

@tool(effect="workspace")
async def keep(context: ToolContext, files: TreeEdit) -> str:
    await files.write("kept.txt", b"one\\ntwo " + context.secrets["DEPLOY_KEY"].encode())
    return "kept"

async def use(ctx, inputs):
    found = [await ctx.tool("length"), await ctx.tool("show")]
    for name in ("fail", "keep"):
        try:
            found.append(await ctx.tool(name))
        except Exception as error:
            found.append(str(error))
    return found
'''

CONFIGURATION = '[secrets]\nDEPLOY_KEY = { env = "MY_KEY" }\n'


def plan(**steps: str) -> str:
    lines = "".join(f"  {name}: {{ {work} }}\n" for name, work in steps.items())
    inputs = "inputs: { note: { type: string, default: none } }"
    return f"tenuto: 1\nname: p\ntools: [python:mine]\n{inputs}\nsteps:\n{lines}"


GRANTED = "effect: workspace, grants: { secrets: [DEPLOY_KEY] }"


@pytest.fixture
def secretive(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "tenuto.toml").write_text(CONFIGURATION)
    (project / "leak.py").write_text(LEAK)
    (project / "mine.py").write_text(TOOLS)
    monkeypatch.setenv("MY_KEY", SECRET)
    return project


def holders(*places: Path | str) -> list[str]:
    """Where the secret stands, in any of its forms, among files and texts."""
    forms = [form.encode() for form in forms_of(SECRET)]
    bodies: dict[str, bytes] = {}
    for place in places:
        if isinstance(place, Path):
            bodies |= {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        else:
            bodies[place[:40]] = place.encode()
    return [name for name, body in bodies.items() if any(form in body for form in forms)]


def test_nothing_holds_what_a_command_prints_and_replay_needs_no_secret(
    tenuto: Tenuto, secretive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = f'run: "python leak.py", {GRANTED}'
    after = 'needs: [leak], model: "mock:", prompt: "Say ${{ steps.leak.output.stdout }}"'
    (secretive / "p.plan.yaml").write_text(plan(leak=work, tell=after))
    ran = tenuto("run", "p.plan.yaml", "--run", "one", "--json", "--input", f"note={SECRET}")
    assert ran.code == 0, ran
    shown = [tenuto(*verb) for verb in (("events", "one"), ("show", "one"), ("artifacts", "one", "--json"))]
    told = [text for said in (ran, *shown) for text in (said.out, said.err)]
    assert holders(secretive / ".tenuto", *told) == []
    assert "[secret:DEPLOY_KEY]" in shown[0].out
    assert str(len(SECRET)) in shown[0].out
    monkeypatch.delenv("MY_KEY")
    (secretive / "tenuto.toml").write_text("")
    replayed = tenuto("replay", "one", "--json")
    assert (replayed.code, replayed.object["identical"]) == (0, True)
    assert tenuto("verify", "one").code == 0


def test_python_tools_get_it_by_their_context(
    tenuto: Tenuto, secretive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secretive / "p.plan.yaml").write_text(
        plan(use='uses: "python:mine:use", grants: { secrets: [DEPLOY_KEY] }')
        + 'outputs: { found: "${{ steps.use.output }}" }\n'
    )
    ran = tenuto("run", "p.plan.yaml", "--run", "one", "--json")
    assert ran.code == 0, ran
    length, shown, failed, kept = ran.object["outputs"]["found"]
    assert (length, shown) == (len(SECRET), {"key": "[secret:DEPLOY_KEY]"})
    assert "k3y" not in failed
    assert "kept.txt:2: holds [secret:DEPLOY_KEY]" in kept
    assert holders(secretive / ".tenuto", ran.out, ran.err) == []
    monkeypatch.delenv("MY_KEY")
    replayed = tenuto("replay", "one", "--json").object
    assert (replayed["identical"], replayed["unchecked"]) == (True, [])


def test_a_step_without_the_grant_has_nothing(tenuto: Tenuto, secretive: Path) -> None:
    (secretive / "p.plan.yaml").write_text(plan(look='run: "env | grep -c DEPLOY_KEY"'))
    assert tenuto("run", "p.plan.yaml").code == 1


def test_a_tree_that_holds_one_fails_its_step(tenuto: Tenuto, secretive: Path) -> None:
    work = f'run: "mkdir -p d && printf \'a\\nb=%s\' \\"$DEPLOY_KEY\\" > d/.env", {GRANTED}'
    (secretive / "p.plan.yaml").write_text(plan(write=work))
    ran = tenuto("run", "p.plan.yaml", "--run", "one")
    assert ran.code == 1
    assert "d/.env:2: holds [secret:DEPLOY_KEY]" in ran.out + ran.err
    assert holders(secretive / ".tenuto", ran.out, ran.err) == []


def test_an_ignored_file_that_holds_one_is_gone_with_its_directory(tenuto: Tenuto, secretive: Path) -> None:
    (secretive / ".gitignore").write_text("cache\n")
    work = f'run: "printf %s \\"$DEPLOY_KEY\\" > cache", {GRANTED}'
    (secretive / "p.plan.yaml").write_text(plan(write=work))
    assert tenuto("run", "p.plan.yaml", "--run", "one").code == 0
    assert holders(secretive / ".tenuto") == []


def test_a_repository_that_holds_one_is_refused_before_anything_is_recorded(tenuto: Tenuto, secretive: Path) -> None:
    (secretive / "notes.txt").write_text(f"first\nsecond {SECRET}\n")
    (secretive / "p.plan.yaml").write_text(plan(hi='run: "echo hi"'))
    ran = tenuto("run", "p.plan.yaml", "--json")
    assert ran.code == 2
    assert ran.object["error"]["where"] == "notes.txt:2"
    assert holders(ran.out, ran.err, secretive / ".tenuto") == []
    (secretive / ".tenutoignore").write_text("notes.txt\n")
    assert tenuto("run", "p.plan.yaml").code == 0


def test_a_plan_that_holds_one_is_refused_without_showing_it(tenuto: Tenuto, secretive: Path) -> None:
    (secretive / ".tenutoignore").write_text("p.plan.yaml\n")
    (secretive / "p.plan.yaml").write_text(plan(hi=f"run: 'curl {SECRET}'"))
    ran = tenuto("run", "p.plan.yaml")
    assert ran.code == 2
    assert "DEPLOY_KEY" in ran.err
    assert holders(ran.err, secretive / ".tenuto") == []
    (secretive / "p.plan.yaml").write_text(plan(hi=f"prompt: hi, needs: ['{SECRET}']"))
    assert holders(tenuto("check", "p.plan.yaml").err, tenuto("check", "p.plan.yaml", "--json").out) == []


@pytest.mark.parametrize("verb", ["check", "run"])
def test_an_unknown_secret_is_refused_with_its_place(tenuto: Tenuto, secretive: Path, verb: str) -> None:
    (secretive / "p.plan.yaml").write_text(plan(a='run: "true", grants: { secrets: [DEPLOY_KEX] }'))
    said = tenuto(verb, "p.plan.yaml")
    assert said.code == 2
    assert "p.plan.yaml:6:" in said.err
    assert "did you mean DEPLOY_KEY?" in said.err


def test_a_secret_without_a_value_is_refused_before_the_run_and_on_resume(
    tenuto: Tenuto, secretive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secretive / "p.plan.yaml").write_text(plan(a=f'run: "true", {GRANTED}'))
    for value in ("", "short"):
        monkeypatch.setenv("MY_KEY", value)
        said = tenuto("run", "p.plan.yaml")
        assert (said.code, "DEPLOY_KEY" in said.err) == (2, True)
    assert not (secretive / ".tenuto" / "journal.db").exists()


def test_what_people_write_about_a_run_is_redacted_too(tenuto: Tenuto, secretive: Path) -> None:
    (secretive / "p.plan.yaml").write_text(
        "tenuto: 1\nname: p\nbudget: { tokens: 1 }\nsteps:\n  a: { prompt: hello, model: 'mock:' }\n"
    )
    assert tenuto("run", "p.plan.yaml", "--run", "one").code == 3
    assert tenuto("cancel", "one", "--reason", f"leaked {SECRET}").code == 0
    assert "leaked [secret:DEPLOY_KEY]" in tenuto("events", "one").out
    assert holders(secretive / ".tenuto") == []


def test_output_that_is_cut_in_the_middle_of_one(tenuto: Tenuto, secretive: Path) -> None:
    fill = (1 << 20) - 10
    work = f'run: "head -c {fill} /dev/zero | tr \'\\\\0\' . ; printf %s \\"$DEPLOY_KEY\\"", {GRANTED}'
    (secretive / "p.plan.yaml").write_text(plan(a=work))
    assert tenuto("run", "p.plan.yaml", "--run", "one").code == 0
    assert not [
        path for path in (secretive / ".tenuto").rglob("*") if path.is_file() and b"k3y-" in path.read_bytes()
    ]


def test_an_agent_uses_one_that_it_never_sees(tenuto: Tenuto, secretive: Path) -> None:
    """The model asks for a command with the secret's name; what it is told, and says, holds the placeholder."""
    (secretive / "answers.yaml").write_text(
        "replies:\n"
        "  - when: { ordinal: 0 }\n"
        "    tool_calls: [{ name: run, arguments: { command: 'echo key is $DEPLOY_KEY; exit 3' } }]\n"
        "  - when: { contains: 'key is [secret:DEPLOY_KEY]' }\n"
        f"    text: 'I have seen [secret:DEPLOY_KEY], or {SECRET}'\n"
    )
    (secretive / ".tenutoignore").write_text("answers.yaml\n")
    (secretive / "p.plan.yaml").write_text(
        "tenuto: 1\nname: p\n"
        'agents: { worker: { instructions: work, tools: [run], model: "scripted:answers.yaml" } }\n'
        "steps:\n  go: { agent: worker, prompt: go, grants: { secrets: [DEPLOY_KEY] } }\n"
        'outputs: { said: "${{ steps.go.output }}" }\n'
    )
    ran = tenuto("run", "p.plan.yaml", "--run", "one", "--json")
    assert (ran.code, ran.object["outputs"]["said"]) == (0, "I have seen [secret:DEPLOY_KEY], or [secret:DEPLOY_KEY]")
    assert holders(secretive / ".tenuto", ran.out, ran.err) == []
    assert tenuto("replay", "one", "--json").object["identical"]


def test_what_a_killed_engine_leaves_is_gone_with_the_next_one(
    tenuto: Tenuto, secretive: Path, start: Callable[..., Any]
) -> None:
    work = 'run: "printf %s \\"$DEPLOY_KEY\\" > key; sleep 300", grants: { secrets: [DEPLOY_KEY] }'
    (secretive / "p.plan.yaml").write_text(plan(hold=work))
    engine = start("run", "p.plan.yaml", "--run", "one")
    deadline = time.monotonic() + 30
    while not holders(secretive / ".tenuto" / "work"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    engine.kill()
    engine.wait()
    assert tenuto("resume", "one").code == 4  # `once`, with a grant: a person is asked
    assert holders(secretive / ".tenuto") == []

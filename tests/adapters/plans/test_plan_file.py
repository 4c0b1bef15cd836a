from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.adapters.plans.plan_file import LoadedPlan, load_plan, read_plan
from tenuto.core.budget import Limits
from tenuto.core.canonical import parse
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Defaults, Plan, PromptWork, Retry, RunWork, Step, UsesWork
from tenuto.core.tools import Grants
from tenuto.errors import ExitCode, InvalidPlanError

FULL = """\
tenuto: 1
name: fix-issue
description: all there is
inputs: { issue: { type: string }, max_files: { type: integer, default: 5, description: how many } }
budget: { usd: "2.00", tokens: 400000, time: 20m, model_calls: 200, tool_calls: 3, input_tokens: 1, output_tokens: 2 }
agents: [agents/*.md]
tools: ["python:my.tools"]
defaults: { model: "mock:", max_tokens: 512, timeout: 90s, retry: { attempts: 3, tries: 2, backoff: 500ms } }
steps:
  triage:
    agent: planner
    prompt: prompts/triage.md
    with: { issue: "${{ inputs.issue }}", n: [1, "${{ inputs.max_files }}"] }
    output: schemas/triage.json
  patch:
    needs: triage
    foreach: ${{ steps.triage.output.files }}
    key: ${{ item.name }}
    max_parallel: 3
    model: openai:gpt-5
    max_tokens: 64
    budget: { usd: "0.5", iterations: 9 }
    on_error: skip
    prompt: "Fix ${{ item }} (${{ key }}) so that ${{ steps.triage.output.goal }}"
    output: { type: object, properties: { a: { enum: "${{ item.words }}" } } }
  test:
    needs: [patch, triage]
    run: pytest -q
    timeout: 1h30m
    on_error: continue
    merge: { prefer: patch }
    effect: once
    grants: { read: [/usr], write: [out], network: true, env: [HOME] }
    retry: { attempts: 2 }
  report: { needs: [test], uses: "python:my.steps:report", with: { all: "${{ steps.test.error }}" } }
outputs: { report: "${{ steps.report.output }}", fixed: 1 }
merge: fail
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, text in {
        "fix.plan.yaml": FULL,
        "prompts/triage.md": "Look at\r\n${{ with.issue }}\n",
        "schemas/triage.json": '{"type": "object", "title": "\\ud83d\\ude00"}',
        "agents/planner.md": "---\nname: planner\ntools: Read\n---\nYou plan.\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def read(text: str, directory: Path = Path(), tools: list[str] | None = None) -> LoadedPlan:
    return read_plan(text.encode(), directory / "p.yaml", tools)


def problems(text: str, directory: Path = Path()) -> list[str]:
    """The problems of a plan, without the file's name."""
    with pytest.raises(InvalidPlanError) as caught:
        read(text, directory)
    assert caught.value.exit_code is ExitCode.USAGE
    lines = str(caught.value).splitlines()
    assert [str(e) for e in caught.value.errors[1:]] == lines[1:]
    assert all("; " in line and line.isprintable() for line in lines)
    return [line.removeprefix(f"{(directory / 'p.yaml').as_posix()}:") for line in lines]


def step(text: str, directory: Path = Path()) -> list[str]:
    return problems(f"steps:\n  a:\n    {text}\n  b: {{ run: ls }}\n", directory)


def test_everything_a_plan_file_can_say(directory: Path) -> None:
    loaded = load_plan(directory / "fix.plan.yaml")
    plan = loaded.plan
    assert (plan.name, plan.description, plan.tools) == ("fix-issue", "all there is", ("python:my.tools",))
    assert plan.agents == ("agents/*.md",)
    assert plan.budget == Limits(
        usd_micros=2_000_000, tokens=400_000, time_ms=1_200_000, model_calls=200, tool_calls=3,
        input_tokens=1, output_tokens=2,
    )  # fmt: skip
    retry = Retry(attempts=3, tries=2, backoff_ms=500)
    assert plan.defaults == Defaults(model="mock:", max_tokens=512, timeout_ms=90_000, retry=retry)
    default = plan.inputs["max_files"].default
    assert default is not None
    assert parse(default) == 5
    triage, patch, test, report = plan.steps
    assert [s.name for s in plan.steps] == ["triage", "patch", "test", "report"], "plan order is the file's order"
    assert triage.work == PromptWork(
        agent="planner", source="prompts/triage.md", text="Look at\n${{ with.issue }}\n"
    ), "line ends are normal, so the plan is the same on every machine"
    assert bytes(triage.output or b"") == '{"title":"😀","type":"object"}'.encode()
    assert parse(triage.values["n"]) == [1, "${{ inputs.max_files }}"]
    assert patch.needs == ("triage",)
    assert (patch.key, patch.max_parallel, patch.model, patch.max_tokens) == (
        "${{ item.name }}",
        3,
        "openai:gpt-5",
        64,
    )
    assert patch.budget == Limits(usd_micros=500_000, iterations=9)
    assert parse(patch.foreach or b"") == "${{ steps.triage.output.files }}"
    assert test == Step(
        name="test",
        needs=("patch", "triage"),
        work=RunWork(command="pytest -q"),
        timeout_ms=5_400_000,
        on_error="continue",
        merge=MergePolicy(kind="prefer", prefer="patch"),
        effect="once",
        grants=Grants(read=("/usr",), write=("out",), network=True, env=("HOME",)),
        retry=Retry(attempts=2),
    )
    assert report.work == UsesWork(target="python:my.steps:report")
    assert loaded.directory == directory
    assert loaded.agents["planner"].tools == ("read_file",)


def test_places_are_relative_to_the_plan(directory: Path) -> None:
    places = load_plan(directory / "fix.plan.yaml").places
    assert places["steps.triage"] == "fix.plan.yaml:10:3"
    assert places["steps.triage.prompt"] == "prompts/triage.md:1:1"
    assert places["steps.patch.prompt"] == "fix.plan.yaml:24:5"
    assert places["agents.planner.tools"] == "agents/planner.md:3:1"
    assert places["agents.planner.instructions"] == "agents/planner.md:5:1"
    assert "steps.test.grants.read[0]" not in places, "kept small: they are stored with each run"


def test_layout_and_comments_do_not_change_the_digest() -> None:
    one = read("name: p\nsteps: { a: { run: ls, with: { x: { b: 1, a: 2 } } } }").plan
    two = read("# hi\nsteps:\n  a:\n    with: {x: {a: 2, b: 1}}\n    run: 'ls'\nname: p\n").plan
    other = read("name: p\nsteps: { a: { run: ls -l, with: { x: { b: 1, a: 2 } } } }").plan
    assert one.digest == two.digest
    assert one.digest != other.digest
    assert msgspec.json.decode(msgspec.json.encode(one), type=Plan) == one


def test_a_plan_needs_steps_only() -> None:
    loaded = read("steps: { hello: { run: echo hi } }", Path("x"))
    assert (loaded.plan.name, loaded.places["steps.hello"]) == ("p", "p.yaml:1:10")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("run: [1]", "3:10: steps.a.run: this must be a text, but is a list; write it in quotes"),
        ("run: ls\n    neds: [b]", "4:5: steps.a.neds: a step has no key neds; did you mean needs?"),
        ("needs: [c]\n    run: ls", "3:13: steps.a.needs[0]: there is no step c; use one of: a, b"),
        ("needs: [a]\n    run: ls", "3:13: steps.a.needs[0]: a step cannot need itself; remove it"),
        ("needs: [b, b]\n    run: ls", "3:16: steps.a.needs[1]: b is listed twice; remove one"),
        ("needs: {}\n    run: ls", "3:12: steps.a.needs: this is a list of step names, not an object"),
        ("prompt: hi\n    run: ls", "4:5: steps.a.run: a step has exactly one of prompt, run, uses, plan, "),
        ("needs: []", "2:3: steps.a: a step has exactly one of prompt, run, uses, plan, "),
        ("run: ls\n    agent: x", "4:5: steps.a.agent: only a prompt step has an agent, and this is a run step"),
        ("run: ls\n    model: 'mock:'", "4:5: steps.a.model: model has no meaning in a run step"),
        ("prompt: hi\n    agent: x", "4:5: steps.a.agent: there is no agent x; this plan names no agents: add "),
        ("prompt: hi\n    model: gpt", "4:12: steps.a.model: 'gpt' does not name a model; write provider:model"),
        ("prompt: ' '", "3:5: steps.a.prompt: the prompt is empty"),
        ("run: ''", "3:5: steps.a.run: the command is empty"),
        ("uses: mcp:server/tool", "3:5: steps.a.uses: mcp:server/tool names no function; write python:MODULE:FUNC"),
        ("run: ls\n    timeout: 5", "4:14: steps.a.timeout: this must be a duration, but is the number 5"),
        ("run: ls\n    timeout: 0s", "4:14: steps.a.timeout: a duration of nothing"),
        ("run: ls\n    timeout: 5m1h", "4:14: steps.a.timeout: this must be a duration, but is the text '5m1h'"),
        ("run: ls\n    budget: { usd: 2.00 }", "4:20: steps.a.budget.usd: money is a string of digits, not the nu"),
        ("run: ls\n    budget: { usd: '-1' }", "4:20: steps.a.budget.usd: money is a string of digits, not the text"),
        ("run: ls\n    budget: { tokens: -1 }", "4:23: steps.a.budget.tokens: the number is too small"),
        ("run: ls\n    budget: { tokens: 1.5 }", "4:23: steps.a.budget.tokens: this must be a whole number, but"),
        ("run: ls\n    budget: { time: 5s }", "4:15: steps.a.budget.time: a budget has no key time"),
        ("run: ls\n    retry: { attempts: 0 }", "4:24: steps.a.retry.attempts: the number is too small"),
        ("run: ls\n    retry: { attempts: true }", "4:24: steps.a.retry.attempts: this must be a whole number, but"),
        ("run: ls\n    on_error: retry", "4:15: steps.a.on_error: this is one of fail, continue, skip, not the text"),
        ("run: ls\n    effect: reed", "4:13: steps.a.effect: this is one of read, workspace, idempotent, once, not"),
        ("prompt: x\n    effect: read", "4:5: steps.a.effect: only a run step declares its effect"),
        ("run: ls\n    merge: { agent: x }", "4:14: steps.a.merge.agent: there is no agent x"),
        ("run: ls\n    merge: { prefer: b }", "4:14: steps.a.merge.prefer: a does not need b; add b to needs"),
        ("run: ls\n    merge: { prefer: c }", "4:14: steps.a.merge.prefer: there is no step c"),
        ("run: ls\n    merge: older", "4:12: steps.a.merge: merge is fail, {prefer: STEP} or"),
        ("run: ls\n    max_parallel: 2", "4:5: steps.a.max_parallel: max_parallel has no meaning without foreach"),
        ("run: ls\n    key: x", "4:5: steps.a.key: key has no meaning without foreach"),
        ("run: ls\n    foreach: []", "4:5: steps.a.foreach: foreach has nothing to go through"),
        ("run: ls\n    foreach: abc", "4:5: steps.a.foreach: foreach is neither a list nor an expression"),
        ("run: ls\n    foreach: { a: 1 }", "4:5: steps.a.foreach: foreach is neither a list nor an expression"),
        ("run: ls\n    foreach: ['${{ item }}']", "4:16: steps.a.foreach[0]: ${{ item }}: item is known only inside"),
        ("run: ls ${{ item }}", "3:13: steps.a.run: ${{ item }}: item is known only inside the children of a"),
        ("run: ls ${{ key }}", "3:13: steps.a.run: ${{ key }}: key is known only inside the children of a foreach"),
        ("run: ls ${{ inputs.x }}", "3:13: steps.a.run: ${{ inputs.x }}: the plan declares no input x; add x to in"),
        ("run: ls ${{ steps.b.output }}", "3:13: steps.a.run: ${{ steps.b.output }}: a may run before b; add b to "),
        ("run: ls ${{ steps.a.output }}", "3:13: steps.a.run: ${{ steps.a.output }}: a step cannot read its own re"),
        ("run: ls ${{ steps.c.output }}", "3:13: steps.a.run: ${{ steps.c.output }}: there is no step c"),
        ("run: ls ${{ with.x }}", "3:13: steps.a.run: ${{ with.x }}: with has no x; add x to with"),
        ("run: ls ${{ 1 + }}", "3:21: steps.a.run: ${{ 1 + }}: it ends too early"),
        ("run: ls\n    with: { x: [{ y: '${{ with.x }}' }] }", "4:23: steps.a.with.x[0].y: ${{ with.x }}: the val"),
        ("run: ls\n    with: { 'a b': 1 }", '4:13: steps.a.with["a b"]: this cannot be a name'),
        ("run: ls\n    with: 5", "4:11: steps.a.with: this maps names to values, not the number 5"),
        ("run: ls\n    output: { type: bogus }", "4:13: steps.a.output: this is not a JSON Schema: type:"),
        ("run: ls\n    output: { $ref: 'http://x/y' }", "4:13: steps.a.output: the schema refers to http://x/y, o"),
        ("run: ls\n    output: any", "4:13: steps.a.output: 'any' is not a schema"),
        ("run: ls\n    output: gone.json", "4:13: steps.a.output: gone.json is not there; create it"),
        ("run: ls\n    output: /etc/x.json", "4:13: steps.a.output: '/etc/x.json' is not a relative path"),
        ("prompt: gone.md", "3:13: steps.a.prompt: gone.md is not there; create it"),
        ("prompt: /etc/gone.md", "3:13: steps.a.prompt: '/etc/gone.md' is not a relative path"),
        ("run: ls\n    grants: { hosts: [x] }", "4:15: steps.a.grants.hosts: this key is not in this version"),
        ("- 1", "3:5: steps.a: a step is an object, not a list; write keys such as prompt:, run:, uses:"),
        *(
            (f"run: ls\n    {key}: x", f"4:5: steps.a.{key}: this key is not in this version; remove it")
            for key in ("role", "requires", "memory")
        ),
    ],
)  # fmt: skip
def test_each_slip_in_a_step_is_one_line_at_its_place(text: str, line: str) -> None:
    lines = step(text)
    assert len(lines) == 1
    assert lines[0].startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tenuto: 2", "1:9: tenuto: this reads plans of format 1, not the number 2; write tenuto: 1"),
        ("tenuto: true", "1:9: tenuto: this reads plans of format 1, not true or false"),
        ("name: ''", "1:1: name: a plan's name is one line of 1 to 100 characters"),
        ("inputs: { 1x: {} }", '1:11: inputs["1x"]: this cannot be a name'),
        ("inputs: { x: { type: int } }", "1:22: inputs.x.type: this is one of string, integer,"),
        ("inputs: { x: { type: integer, default: '5' } }", "1:31: inputs.x.default: the default is no integer, but"),
        ("budget: 5", "1:9: budget: a budget is an object, not the number 5"),
        ("agents: [../../**/*.md]", "1:10: agents[0]: ../../**/*.md would look through all that is above the plan"),
        ("mcp: .mcp.json", "1:1: mcp: this key is not in this version"),
        ("merge: { prefer: b }", "1:10: merge.prefer: there is no step b; use one of: a"),
        ("tools: [my.tools]", "1:9: tools[0]: my.tools names no module; write python:MODULE"),
        ("agents: [gone.md]", "1:10: agents[0]: the file gone.md is not there"),
        ("agents: ['/etc/*.md']", "1:10: agents[0]: '/etc/*.md' is not a relative path"),
        ("agents: ['**x']", "1:10: agents[0]: **x is not a pattern of files"),
        ("agents: { x: { tools: [red_file] } }", "1:24: agents.x.tools[0]: there is no tool red_file; did you mea"),
        ("agents: { x: { tools: [WebSearch] } }", "1:24: agents.x.tools[0]: the tool WebSearch has no counterpart"),
        ("agents: { x: { tool: [] } }", "1:16: agents.x.tool: an agent has no key tool; did you mean tools?"),
        ("outputs: { x: ['${{ steps.b.output }}'] }", "1:17: outputs.x[0]: ${{ steps.b.output }}: there is no ste"),
        ("outputs: { x: '${{ item }}' }", "1:16: outputs.x: ${{ item }}: item is known only inside"),
        ("step: {}", "1:1: step: a plan has no key step; did you mean steps?"),
    ],
)  # fmt: skip
def test_each_slip_in_a_plan_is_one_line_at_its_place(text: str, line: str, tmp_path: Path) -> None:
    lines = problems(f"{text}\nsteps: {{ a: {{ run: ls }} }}\n", tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("steps: {}", "1:1: steps: a plan needs at least one step"),
        ("steps:", "1:7: steps: this maps names to steps, not empty"),
        ("name: x", "1:1: the key steps is missing; add steps:"),
        ("[]", "1:1: a plan is an object, not a list"),
        ("steps: { end: { run: ls } }", "1:10: steps.end: the name end is taken by the end of the plan"),
        ("steps: { 1a: { run: ls } }", '1:10: steps["1a"]: this cannot be a name'),
        ("steps: { '5': { run: ls } }", '1:10: steps["5"]: this cannot be a name'),
    ],
)
def test_plans_without_usable_steps(text: str, line: str) -> None:
    assert problems(text)[0].startswith(line)


def test_a_circle_is_named() -> None:
    steps = {"z": "a", "a": "c", "b": "a", "c": "b"}
    assert problems("steps:\n" + "".join(f"  {n}: {{run: x, needs: [{m}]}}\n" for n, m in steps.items())) == [
        "3:15: steps.a.needs: steps need each other in a circle: a -> c -> b -> a; remove one need"
    ]


def test_up_to_twenty_problems_are_shown_in_the_order_of_the_file() -> None:
    lines = problems("steps:\n" + "".join(f"  s{i}: {{ run: ls, iff: x }}\n" for i in range(30)))
    assert [line.split(":")[0] for line in lines] == [str(n) for n in range(2, 22)]


def test_a_reference_through_others_is_an_ancestor() -> None:
    text = "steps: { c: { run: '${{ steps.a.output }}', needs: [b] }, b: { run: x, needs: [a] }, a: { run: x } }"
    assert [s.name for s in read(text).plan.steps] == ["c", "b", "a"]


def test_a_slip_in_a_prompt_file_is_shown_in_that_file(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("one\ntwo ${{ inputs.x }}\n")
    with pytest.raises(InvalidPlanError, match="the plan declares no input x") as caught:
        read("steps: { a: { prompt: p.md } }", tmp_path)
    assert caught.value.where == "p.md:2:5"


def test_bad_files_beside_a_plan_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"a\n\xff")
    (tmp_path / "bad.json").write_text('{"a": 1,\n "a" 2}')
    (tmp_path / "twice.json").write_text('{"a": 1, "a": 2}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "d.md").mkdir()
    for name, where, what in [
        ("prompt: bad.md", "bad.md:2:1", "the byte 0xff is not UTF-8"),
        ("prompt: d.md", "p.yaml:1:23", "is not a file"),
        ("{ run: x, output: bad.json }", "bad.json:2:6", "this cannot be read as JSON"),
        ("{ run: x, output: twice.json }", "twice.json:1:1", "the key a is written twice"),
        ("{ run: x, output: deep.json }", "deep.json:1:1", "nested too deeply"),
    ]:
        text = "steps: { a: " + (name if name.startswith("{") else f"{{ {name} }}") + " }"
        with pytest.raises(InvalidPlanError, match=what) as caught:
            read(text, tmp_path)
        assert caught.value.where.endswith(where)


@pytest.mark.parametrize("kind", ["missing", "directory", "link"])
def test_a_plan_that_cannot_be_opened_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    if kind == "directory":
        path.mkdir()
    if kind == "link":
        path.symlink_to(path)
    with pytest.raises(InvalidPlanError) as caught:
        load_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_agents_come_from_globs_once_each(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "b.md").write_text("You are b.")
    (tmp_path / "agents" / "a.md").write_text("---\nname: a\n---\nYou are a.")
    text = "agents: ['../agents/*.md', '../agents/a.md', '.none/*.md']\nsteps: { s: { prompt: hi, agent: b } }"
    assert list(read(text, tmp_path / "plans").agents) == ["a", "b"]
    (tmp_path / "agents" / "c.md").write_text("---\nname: a\n---\nMe too.")
    with pytest.raises(InvalidPlanError, match=r"two agents are named a: in \.\./agents/a\.md and \.\./agents/c\.md"):
        read(text, tmp_path / "plans")
    (tmp_path / "agents" / "c.md").write_text("---\nname: [\n---\nBroken.")
    with pytest.raises(InvalidPlanError, match=r"agents/c\.md:3:1: this cannot be read as YAML"):
        read(text, tmp_path / "plans")


def test_tools_of_modules_are_checked_once_they_are_known() -> None:
    text = "tools: ['python:t']\nagents: { a: { tools: [mine] } }\nsteps: { s: { prompt: hi, agent: a } }"
    assert read(text).agents["a"].tools == ("mine",)
    assert read(text, tools=["mine"]).agents["a"].tools == ("mine",)
    with pytest.raises(InvalidPlanError, match="there is no tool mine; did you mean mint"):
        read(text, tools=["mint"])


def test_ten_thousand_steps_are_the_limit() -> None:
    def chain(count: int) -> str:
        return "steps:\n" + "".join(
            f"  s{i}: {{ run: x, needs: [{f's{i - 1}' if i else ''}] }}\n" for i in range(count)
        )

    plan = read(chain(10_000)).plan
    assert len(plan.steps) == 10_000
    assert problems(chain(10_001))[0].startswith("1:1: steps: a plan has at most 10000 steps, here are 10001")


WORDS = st.sampled_from([
    "steps:", "a:", "run: ls", "prompt: hi", "needs: [a]", "{", "}", "[", "]", ",", "'", '"', "foreach: ",
    "${{ item }}", "with: ", "budget: ", "usd: ", "agents: ", "inputs: ", "x", "1", "null", "output: ",
    "retry: ", "merge: ", "grants: ", "&a", "*a", "!!x", ">", "#", "\0", "é", "..", "*.md", "a.md", "/", "\n",
    "\n  ", "\n    ", "- ", ": ", "\t", " ",
])  # fmt: skip


def outcome(text: str, directory: Path) -> Plan | InvalidPlanError:
    try:
        return read_plan(text.encode("utf-8", "surrogatepass"), directory / "p.yaml").plan
    except InvalidPlanError as error:
        return error


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=30))
def test_any_text_is_a_plan_or_an_invalid_plan(tmp_path: Path, text: str) -> None:
    found = outcome(text, tmp_path)
    assert found.steps if isinstance(found, Plan) else 0 < len(found.errors) <= 20


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, len(FULL) - 1), st.sampled_from(["", "x", " ", ":", "[", "}", "'", "\n", "${{", "\t", "0", "-"])
)
def test_a_plan_with_one_slip_is_a_plan_or_an_invalid_plan(directory: Path, at: int, slip: str) -> None:
    found = outcome(FULL[:at] + slip + FULL[at + 1 :], directory)
    assert found.steps if isinstance(found, Plan) else all(e.fix and e.where for e in found.errors)


def test_sub_plans_that_multiply_are_counted_and_each_file_is_read_once(tmp_path: Path) -> None:
    """Seven files of eight sub-plans each stand for two million steps."""
    for number in range(1, 8):
        steps = "".join(f"  s{step}: {{ plan: p{number + 1}.plan.yaml }}\n" for step in range(8))
        (tmp_path / f"p{number}.plan.yaml").write_text(f"tenuto: 1\nsteps:\n{steps}")
    (tmp_path / "p8.plan.yaml").write_text('tenuto: 1\nsteps: { last: { run: "true" } }\n')
    with pytest.raises(InvalidPlanError) as refused:
        load_plan(tmp_path / "p1.plan.yaml")
    (problem,) = refused.value.errors
    assert "steps.s1.plan: with the steps of its sub-plans the plan has more than 10000 steps" in str(problem)
    assert str(problem).startswith(str(tmp_path / "p3.plan.yaml"))


def test_the_type_of_an_input_is_wrong_before_its_default(tmp_path: Path) -> None:
    path = tmp_path / "typed.plan.yaml"
    path.write_text('tenuto: 1\ninputs: { a: { type: text, default: b } }\nsteps: { s: { run: "true" } }\n')
    with pytest.raises(InvalidPlanError) as refused:
        load_plan(path)
    (problem,) = refused.value.errors
    assert ":2:22: inputs.a.type:" in str(problem)


def test_what_a_message_quotes_of_a_path_is_printable(tmp_path: Path) -> None:
    path = tmp_path / "escape.plan.yaml"
    path.write_text('tenuto: 1\nsteps: { s: { prompt: "pro\\eb.md" } }\n')
    with pytest.raises(InvalidPlanError) as refused:
        load_plan(path)
    assert str(refused.value).isprintable()


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "p.plan.yaml"
    file.write_text(f"agents: {'a' * 5000}\nsteps: {{ a: {{ prompt: Hi }} }}\n")
    with pytest.raises(InvalidPlanError, match="is not there"):
        load_plan(file)

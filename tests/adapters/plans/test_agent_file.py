from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.plans.agent_file import LoadedAgent, load_agent, read_agent
from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.errors import InvalidPlanError


def read(text: str | bytes, file: str = "agents/coder.md") -> LoadedAgent:
    return read_agent(text if isinstance(text, bytes) else text.encode(), file, directory=Path("agents"))


def test_an_agent_as_people_have_it() -> None:
    loaded = read(
        "---\nname: code-reviewer\ndescription: Reviews code.\ntools: Read, Grep, Glob, Bash, LS\n"
        "model: sonnet\ncolor: blue\nmode: subagent\npermissionMode: plan\n---\n\n"
        "You review code.\n\nBe brief. ${{ no expression }}\n"
    )
    assert loaded.agent == AgentSpec(
        name="code-reviewer",
        description="Reviews code.",
        instructions="You review code.\n\nBe brief. ${{ no expression }}",
        tools=("read_file", "search_files", "glob", "run", "list_files"),
    )
    assert loaded.places["agents.code-reviewer.tools"] == "agents/coder.md:4:1"
    assert loaded.places["agents.code-reviewer.instructions"] == "agents/coder.md:11:1"


def test_what_other_programs_do_not_know_stands_below_metadata() -> None:
    loaded = read(
        "---\nname: coder\ntools: [Edit, Write, MultiEdit, my_tool]\ndisallowedTools: Write\nmetadata:\n"
        "  model: openai:gpt-5\n  role: coder\n  max_tokens: 256\n  at_once: 2\n  iterations: 9\n  version: 3\n"
        '  limits: { tokens: 10, usd: "0.10" }\n'
        "  capabilities: [python, { name: edit, input: { type: object } }]\n---\nYou code.\n"
    )
    agent = loaded.agent
    assert (agent.name, agent.instructions, agent.model) == ("coder", "You code.", "openai:gpt-5")
    assert (agent.role, agent.version, agent.tools) == ("coder", "3", ("edit_file", "my_tool"))
    assert (agent.max_tokens, agent.at_once, agent.iterations_max) == (256, 2, 9)
    assert agent.limits == Limits(tokens=10, usd_micros=100_000)
    assert [(c.name, c.input_schema and bytes(c.input_schema)) for c in agent.capabilities] == [
        ("python", None),
        ("edit", b'{"type":"object"}'),
    ]
    assert loaded.places["agents.coder.max_tokens"] == "agents/coder.md:8:3"


@pytest.mark.parametrize("model", ["sonnet", "inherit", "opus", "gpt-5", ""])
def test_model_names_of_other_programs_are_left_alone(model: str) -> None:
    assert read(f"---\nmodel: {model}\n---\nHi").agent.model is None


def test_model_names_of_ours_are_taken() -> None:
    assert read("---\nmodel: 'mock:'\n---\nHi").agent.model == "mock:"


@pytest.mark.parametrize(
    "text", ["Just text.", "---\n---\nJust text.", "---\n# nothing\nname: coder\n---\nJust text."]
)
def test_front_matter_may_be_missing_or_small(text: str) -> None:
    assert read(text).agent == AgentSpec(name="coder", instructions="Just text.")


def test_line_ends_do_not_change_an_agent() -> None:
    text = "---\nname: a\ntools: Read\n---\nYou\nare a.\n"
    assert read(text.replace("\n", "\r\n")).agent.digest == read(text).agent.digest


def test_a_loose_description_is_taken_as_it_stands() -> None:
    described = r"Use it when asked. Examples: <example>user: 'hi' # now</example>\n \"q\""
    loaded = read(f"---\nname: a\ndescription: {described}\ntools: Read\n---\nHi")
    assert loaded.agent.description == described
    assert loaded.places["agents.a.tools"] == "agents/coder.md:4:1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("---\nname: a\n", "1:1: front matter is not closed"),
        ("---\n- a\n---\n", "2:1: front matter is keys and values, not a list"),
        ("---\nname: 1\n---\n", "2:7: name: this must be a text, but is the number 1"),
        ("---\nname: a b\n---\n", "2:7: name: 'a b' cannot be a name"),
        ("---\nname: a\nname: b\n---\n", "3:1: the key name is written twice, first in line 2"),
        ("---\nnmae: a\n---\n", "2:1: nmae: an agent has no key nmae; did you mean name?"),
        ("---\nrole: a\n---\n", "2:1: role: the key role stands below metadata:"),
        ("---\nmetadata:\n  rol: a\n---\n", "3:3: metadata.rol: metadata has no key rol; did you mean role"),
        ("---\nmetadata:\n  model: sonnet\n---\n", "3:10: metadata.model: 'sonnet' does not name a model"),
        ("---\nmetadata:\n  kind: b\n---\n", "3:3: metadata.kind: this key is not in this version"),
        ("---\nmetadata:\n  limits: {time: 5s}\n---\n", "3:12: metadata.limits.time: a budget has no key time"),
        ("---\ntools: [Read, WebFetch]\n---\n", "2:15: tools[1]: the tool WebFetch has no counterpart here"),
        ("---\ntools: mcp__x__y\n---\n", "2:8: tools[0]: mcp__x__y: tools of MCP servers are not in this version"),
        ("---\ntools: Bash(git:*)\n---\n", "2:8: tools[0]: 'Bash(git:*)' is a pattern"),
        ("---\ntools: {a: b}\n---\n", "2:8: tools: tools are a list or names with commas, not an object"),
        ("---\nmodel: [a]\n---\n", "2:8: model: a model's name is a text, not a list"),
        ("---\na: [\n---\n", "3:1: this cannot be read as YAML"),
        ("---\na: &x 1\n---\n", "2:4: the anchor &x is not allowed"),
        (b"---\na: 1\n---\n\xff", "4:1: the byte 0xff is not UTF-8"),
        (b"hi \x00", "1:4: NUL is not allowed"),
        (b"x" * (1 << 20) + b"x", "1:1: the file is larger"),
    ],
    ids=range(21),
)
def test_bad_input_is_one_line_with_its_place(text: str | bytes, line: str) -> None:
    with pytest.raises(InvalidPlanError) as caught:
        read(text)
    found = str(caught.value)
    assert found.startswith(f"agents/coder.md:{line}")
    assert found.isprintable()
    assert caught.value.fix


def test_a_file_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(InvalidPlanError, match="be an agent's name; add name:"):
        read("hi", "agents/my agent.md")
    assert read("---\nname: mine\n---\nhi", "agents/my agent.md").agent.name == "mine"
    assert read("hi", "agents/mine.agent.md").agent.name == "mine"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlanError, match="is not there"):
        load_agent(tmp_path / "a.md", "a.md")


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("-\n:[]{}, atoolsnmed'\"#&*|>\t"), max_size=60))
def test_any_front_matter_is_an_agent_or_an_invalid_plan(text: str) -> None:
    found = ""
    try:
        assert read(f"---\n{text}\n---\nbody").agent.name
    except InvalidPlanError as error:
        found = error.fix
    assert found.isprintable()

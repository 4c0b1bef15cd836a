from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.models.script import ERROR_KINDS, ScriptedFailure, ScriptedReply, ScriptedToolCall
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.core.models import Usage
from tenuto.errors import ModelCallError, UsageError

DEADLINE_US = 10_000_000

SCRIPT = """
replies:
  - when: { step: triage, ordinal: 0, contains: "issue 7" }
    json: { files: [a.py] }
  - when: { step: "patch[*]", matches: "fix .*py" }
    tool_calls: [{ name: read_file, arguments: { path: a.py } }]
    times: 1
  - when: { step: patch, try: 1 }
    error: { kind: rate_limited, retry_after_ms: 500 }
  - when: { contains: known }
    text: done
    usage: { input_tokens: 12, output_tokens: 3 }
"""


async def test_the_first_fitting_entry_answers(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SCRIPT)
    model = ScriptedModel(directory=tmp_path)
    name = "scripted:a.yaml"

    async def text(call: str, prompt: str, **more: Any) -> str:
        reply = await model.complete(ask(name, prompt, call=call, **more), deadline_us=DEADLINE_US)
        return ",".join(c.name + bytes(c.arguments).decode() for c in reply.tool_calls) or reply.text

    assert await text("r/triage/1/0", "see issue 7") == '{"files":["a.py"]}'
    assert await text("r/triage/1/1", "see issue 7, known") == "done"
    assert await text("r/patch[src%2Fa.py]/1/0", "fix a.py, known") == 'read_file{"path":"a.py"}'
    assert await text("r/patch[src%2Fa.py]/1/0", "fix a.py, known") == "done"
    with pytest.raises(ModelCallError) as caught:
        await text("r/patch/1/0", "known")
    assert (caught.value.kind, caught.value.retry_after_ms, caught.value.sent) == ("rate_limited", 500, False)
    assert await text("r/patch/1/0", "known", try_number=2) == "done"
    assert model.calls == 6
    assert model.profile(name).grade == "exact"


async def test_an_unmatched_request_is_refused_by_name(ask: Any) -> None:
    model = ScriptedModel([ScriptedReply(step="a", text="x")])
    with pytest.raises(ModelCallError, match=r"^call r1/b/2/3: no entry .*last message user: 'hello'") as caught:
        await model.complete(ask("scripted:", "hello", call="r1/b/2/3"), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("bad_request", False, False)


async def test_entries_in_python(ask: Any) -> None:
    usage = Usage(input_tokens=1, output_tokens=2)
    model = ScriptedModel(
        [
            ScriptedReply(attempt=2, failure=ScriptedFailure(kind="context_length")),
            ScriptedReply(matches=re.compile("b$"), tool_calls=(ScriptedToolCall(id="x", name="t"),), usage=usage),
            ScriptedReply(json=None),
        ]
    )
    called = await model.complete(ask("any:", "a b"), deadline_us=DEADLINE_US)
    assert (called.finish, called.tool_calls[0].id, called.usage) == ("tool_calls", "x", usage)
    assert (await model.complete(ask("any:", "c"), deadline_us=DEADLINE_US)).text == "null"
    with pytest.raises(ModelCallError) as caught:
        await model.complete(ask("any:", "c", call="r/x/2/0"), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("context_length", False, False)


async def test_a_delay_beyond_the_deadline_is_a_timeout(ask: Any) -> None:
    model = ScriptedModel([ScriptedReply(delay_ms=50, text="late")])
    with pytest.raises(ModelCallError) as caught:
        await model.complete(ask("scripted:", "x"), deadline_us=1_000)
    assert (caught.value.kind, caught.value.sent) == ("timeout", True)


@pytest.mark.parametrize("kind", sorted(ERROR_KINDS))
async def test_errors_by_kind(ask: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"error": kind}]))
    with pytest.raises(ModelCallError) as caught:
        await ScriptedModel(directory=tmp_path).complete(ask("scripted:a.json", "x"), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent, caught.value.retryable, caught.value.status) == (
        kind,
        *ERROR_KINDS[kind],
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no list"),
        ("replies: []", "holds no list"),
        ("reply: []", "unknown key 'reply'"),
        ("- {}", "entry 1: an entry has exactly one answer"),
        ("- {text: a, json: b}", "exactly one answer"),
        ("- {text: a}\n- {text: a, wen: {}}", "entry 2: unknown key 'wen'"),
        ("- {text: a, when: {stp: a}}", "unknown key 'stp'"),
        ("- {text: 3}", "text is 3"),
        ("- {text: a, times: 0}", "times is 0"),
        ("- {text: a, delay_ms: -1}", "delay_ms is -1"),
        ("- {text: a, finish: done}", "finish is 'done'"),
        ("- {error: {kind: flood}}", "kind is 'flood'"),
        ("- {error: {kind: server, sent: maybe}}", "sent is 'maybe'"),
        ("- {tool_calls: {}}", "tool_calls is no list"),
        ("- {tool_calls: [{name: 3}]}", "a tool call needs a name"),
        ("- {text: a, usage: {tokens: 3}}", "unknown key 'tokens'"),
        ("- {text: a, when: {matches: '('}}", "no regular expression"),
        ("- {text: [", "not YAML"),
        ("- text: a\n- { text: b, }, }", "bad.yaml:2:"),
        ("- &a {text: b}\n- *a", "aliases"),
        ('- text: "\\uD800"\n  wen: 1', "bad.yaml"),
        ("- !!python/object:os.system {}", "not YAML"),
    ],
)
def test_errors_of_a_script_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        ScriptedModel(directory=tmp_path).profile("scripted:bad.yaml")
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert caught.value.fix


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: the script cannot be read"):
        ScriptedModel(directory=tmp_path).profile("scripted:none.yaml")

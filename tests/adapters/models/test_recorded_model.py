from __future__ import annotations

from typing import Any

import pytest

from tenuto.adapters.models.recorded import RecordedModel, request_text
from tenuto.core.models import ModelProfile, ModelReply
from tenuto.errors import ModelCallError


async def test_the_kth_call_gets_the_kth_reply_and_a_try_gets_it_again(ask: Any) -> None:
    request = ask("openai:m", "hello", call="r/a/1/0")
    model = RecordedModel({request.fingerprint: [ModelReply(text="one"), ModelReply(text="two")]})
    second = ask("openai:m", "hello", call="r/b/1/0")
    asked = [request, second, ask("openai:m", "hello", call="r/a/1/0", try_number=2)]
    assert [(await model.complete(r, deadline_us=1)).text for r in asked] == ["one", "two", "one"]
    with pytest.raises(ModelCallError, match="holds 2 answers to this request and one more is asked for"):
        await model.complete(ask("openai:m", "hello", call="r/c/1/0"), deadline_us=1)


async def test_a_miss_fails_closed_and_names_the_nearest_request(ask: Any) -> None:
    known = [ask("openai:m", "fix the parser of dates"), ask("openai:m", "write a poem about rain and snow")]
    model = RecordedModel(
        {r.fingerprint: [ModelReply(text="x")] for r in known},
        requests={r.fingerprint: request_text(r) for r in known},
    )
    with pytest.raises(ModelCallError) as caught:
        await model.complete(ask("openai:m", "fix the parser of times", call="r/a/1/3"), deadline_us=1)
    assert str(caught.value).startswith("call r/a/1/3: the record holds no answer to this request; the nearest one")
    assert "parser of dates'" in caught.value.what
    assert "parser of times'" in caught.value.what
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("bad_request", False, False)


async def test_an_empty_record_still_says_what_is_wrong(ask: Any) -> None:
    with pytest.raises(ModelCallError, match="the record holds no answer to this request; undo the change"):
        await RecordedModel({}).complete(ask("openai:m", "x"), deadline_us=1)


def test_profiles_are_those_recorded_and_exact() -> None:
    model = RecordedModel({}, profiles={"openai:m": ModelProfile(name="openai:m", default_max_tokens=7)})
    assert model.profile("openai:m").default_max_tokens == 7
    assert {model.profile("openai:m").grade, model.profile("openai:other").grade} == {"exact"}

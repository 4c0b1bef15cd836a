"""Encodings, byte order marks, line ends: read as text, and written back as they were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.adapters.tools.changing import EditFileTool, WriteFileTool
from tenuto.adapters.tools.files import ReadFileTool
from tenuto.adapters.tools.patching import ApplyPatchTool
from tenuto.adapters.tools.searching import SearchFilesTool
from tenuto.adapters.tools.texts import BinaryFileError, file_text

BODIES = {
    "plain": b"one\ntwo\n",
    "no final line end": b"one\ntwo",
    "crlf": b"one\r\ntwo\r\n",
    "crlf, no final line end": b"one\r\ntwo",
    "utf-8 mark": b"\xef\xbb\xbfone\ntwo\n",
    "utf-8 mark and crlf": b"\xef\xbb\xbfone\r\ntwo\r\n",
    "utf-16 le": b"\xff\xfe" + "one\ntwö\n".encode("utf-16-le"),
    "utf-16 be and crlf": b"\xfe\xff" + "one\r\ntwo\r\n".encode("utf-16-be"),
    "latin-1": b"one\ntw\xf6\n",
    "mixed ends": b"one\r\ntwo\nthree\r\n",
}


@given(st.binary(max_size=60))
def test_whatever_is_text_is_written_back_as_it_was(data: bytes) -> None:
    try:
        text = file_text(data)
    except BinaryFileError:
        return
    assert text.data == data
    assert text.having(text.text).data == data


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_edit_keeps_all_else(call: Any, context: Any, body: bytes) -> None:
    await context.files.write("f", body)
    status, value = await call(EditFileTool(), path="f", old="one", new="1é")
    assert status == "ok", value
    codec = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(body[:2], "utf-8")
    codec = "latin-1" if b"\xf6" in body and codec == "utf-8" else codec
    assert await context.files.read("f") == body.replace("one".encode(codec), "1é".encode(codec), 1)


@pytest.mark.parametrize("body", [b for n, b in BODIES.items() if n != "mixed ends"], ids=lambda b: repr(b[:12]))
async def test_a_patch_and_a_range_of_lines_see_line_feeds(call: Any, context: Any, body: bytes) -> None:
    await context.files.write("f", body)
    _, read = await call(ReadFileTool(), path="f", first_line=1, last_line=1)
    assert (read["text"], read["lines"]) == ("one\n", 2)
    status, value = await call(ApplyPatchTool(), patch="--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-one\n+1\n+2\n")
    assert status == "ok", value
    assert file_text(await context.files.read("f")).text == file_text(body).text.replace("one\n", "1\n2\n")
    assert file_text(await context.files.read("f")).encoding == file_text(body).encoding
    assert (b"\r" in await context.files.read("f")) == (b"\r" in body)


async def test_text_over_several_lines_is_found_in_a_crlf_file(call: Any, context: Any) -> None:
    await context.files.write("f", b"one\r\ntwo\r\nthree\r\n")
    for old in ("one\ntwo", "one\r\nTWO".replace("TWO", "two")):
        await context.files.write("f", b"one\r\ntwo\r\nthree\r\n")
        assert (await call(EditFileTool(), path="f", old=old, new="1\n2"))[0] == "ok"
        assert await context.files.read("f") == b"1\r\n2\r\nthree\r\n"


@pytest.mark.parametrize(
    ("held", "content", "written"),
    [
        (b"a\r\nb\r\n", "x\ny", b"x\r\ny\r\n"),
        (b"\xef\xbb\xbfa\n", "x\n", b"\xef\xbb\xbfx\n"),
        (b"a\nb", "x", b"x"),
        (b"a\nb\n", "", b""),
        (b"caf\xe9\n", "th\xe9\n", b"th\xe9\n"),
        (b"caf\xe9\n", "\u4e2d\n", "\u4e2d\n".encode()),
        (b"\0\1", "text", b"text"),
    ],
)
async def test_what_replaces_a_text_keeps_its_manner(
    call: Any, context: Any, held: bytes, content: str, written: bytes
) -> None:
    await context.files.write("f", held)
    status, value = await call(WriteFileTool(), path="f", content=content)
    assert (status, value["bytes"], value["created"]) == ("ok", len(written), False)
    assert await context.files.read("f") == written
    assert ("note" in value) == ("\u4e2d" in content)


async def test_reading_says_what_is_not_plain(call: Any, context: Any) -> None:
    await context.files.write("f", BODIES["utf-16 be and crlf"])
    _, value = await call(ReadFileTool(), path="f")
    assert (value["text"], value["encoding"], value["line_ends"]) == ("one\ntwo\n", "utf-16 (big endian)", "crlf")
    assert (await call(SearchFilesTool(), pattern="two", glob="f"))[1]["matches"] == ["f:2: two"]


@pytest.mark.parametrize("body", [b"\0", b"\xff\xfe\x00\xd8a", b"\xe9\x01"])
async def test_a_binary_file_is_named_as_such(call: Any, context: Any, body: bytes) -> None:
    await context.files.write("f", body)
    for tool, more in ((ReadFileTool(), {}), (EditFileTool(), {"old": "a", "new": "b"})):
        status, value = await call(tool, path="f", **more)
        assert (status, f"f is a binary file of {len(body)} bytes" in value["error"]) == ("error", True)

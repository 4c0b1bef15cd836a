"""`apply_patch`: what git writes applies exactly, several files at once or none, and errors say where."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.tools.begin_patch import read_begin_patch
from tenuto.adapters.tools.hunks import apply_hunks
from tenuto.adapters.tools.nearest import why_absent
from tenuto.adapters.tools.patches import PatchError, read_unified
from tenuto.adapters.tools.patching import ApplyPatchTool

TOOL = ApplyPatchTool()

SEVERAL = """\
Some words before it.

diff --git a/a/one.py b/a/one.py
index 1..2 100644
--- a/a/one.py
+++ b/a/one.py
@@ -1,4 +1,4 @@
-import os
+import sys
{blank}
 print('one')
 print('two')
diff --git a/a/two.txt b/lib/three.txt
similarity index 60%
rename from a/two.txt
rename to lib/three.txt
--- a/a/two.txt
+++ b/lib/three.txt
@@ -2,2 +2,3 @@
 beta
-alpha
\\ No newline at end of file
+gamma
+delta
diff --git a/run.sh b/run.sh
new file mode 100755
--- /dev/null
+++ b/run.sh
@@ -0,0 +1 @@
+#!/bin/sh
diff --git a/b.bin b/b.bin
deleted file mode 100644
index 3..0
--{blank}
2.40.1
""".replace("{blank}", " ")

BEGIN = """\
*** Begin Patch
*** Update File: a/one.py
@@ import os
{blank}
-print('one')
+print(1)
 print('two')
*** Update File: a/two.txt
*** Move to: lib/two.txt
 alpha
-beta
+BETA
*** Add File: new/x.py
+first
+second
*** Delete File: b.bin
*** End Patch
""".replace("{blank}", " ")


async def test_several_files_at_once(call: Any, context: Any) -> None:
    status, value = await call(TOOL, patch=SEVERAL)
    assert status == "ok", value
    assert [(one["did"], one["path"]) for one in value["files"]] == [
        ("changed", "a/one.py"),
        ("moved", "lib/three.txt"),
        ("created", "run.sh"),
        ("deleted", "b.bin"),
    ]
    assert value["files"][1] == {
        "added": 2,
        "did": "moved",
        "from": "a/two.txt",
        "path": "lib/three.txt",
        "removed": 1,
    }
    assert await context.files.read("a/one.py") == b"import sys\n\nprint('one')\nprint('two')\n"
    assert await context.files.read("lib/three.txt") == b"alpha\nbeta\ngamma\ndelta\n"
    assert (await context.files.entry("run.sh")).mode == "100755"
    assert [entry.path for entry in await context.files.entries()] == ["a/one.py", "lib/three.txt", "run.sh"]


async def test_the_form_of_coding_agents(call: Any, context: Any) -> None:
    status, value = await call(TOOL, patch=BEGIN)
    assert status == "ok", value
    assert await context.files.read("a/one.py") == b"import os\n\nprint(1)\nprint('two')\n"
    assert await context.files.read("lib/two.txt") == b"alpha\nBETA\nalpha"
    assert await context.files.read("new/x.py") == b"first\nsecond\n"
    assert [entry.path for entry in await context.files.entries()] == ["a/one.py", "lib/two.txt", "new/x.py"]


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ("", "no file in the patch"),
        ("hello", "no file in the patch"),
        ("@@ -1 +1 @@\n-a\n+b\n", "patch line 1: a hunk without its file"),
        ("--- a/gone\n+++ b/gone\n@@ -1 +1 @@\n-a\n+b\n", "patch line 1: there is no file 'gone'"),
        (
            "--- a/a/one.py\n+++ b/a/one.py\n@@ -3,2 +3,2 @@\n print('one')\n-print('tow')\n+x\n",
            "patch line 3: a/one.py, hunk 1: line 4 is \"print('two')\", where the patch expects \"print('tow')\"",
        ),
        (
            "--- a/a/one.py\n+++ b/a/one.py\n@@ -1 +1 @@\n-import  os\n+x\n",
            "only white space differs",
        ),
        (
            "--- a/a/one.py\n+++ b/a/one.py\n@@ -3,9 +3,2 @@\n print('one')\n-x\n+y\n",
            "says 9 old and 2 new lines, and has 2",
        ),
        ("--- a/a/one.py\n+++ b/a/one.py\n@@ -1 +1 @@\n-import os\n+x\n+y\n", "has 1 and 1 up to line 5"),
        ("--- a/a/two.txt\n+++ b/a/two.txt\n@@ -9 +9 @@\n-alpha\n+x\n", "stand at lines 1, 3; give more lines"),
        ("--- /dev/null\n+++ b/a/one.py\n@@ -0,0 +1 @@\n+x\n", "there is a file a/one.py already"),
        ("--- a/b.bin\n+++ b/b.bin\n@@ -1 +1 @@\n-x\n+y\n", "binary file"),
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-x\n+y\n", "'..'"),
        ("--- /dev/null\n+++ b//etc/x\n@@ -0,0 +1 @@\n+y\n", "not relative"),
        ("--- a/a/one.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-import os\n", "more lines than the patch deletes"),
        ("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n", "mode 120000"),
        ("diff --git a/b.bin b/b.bin\nGIT binary patch\nliteral 1\n", "binary patches are not applied"),
        ("*** Begin Patch\n*** Update File: a/one.py\n", "no line '*** End Patch'"),
        ("*** Begin Patch\n-x\n*** End Patch", "patch line 2"),
        ("*** Begin Patch\n*** Update File: a/two.txt\n-alpha\n+x\n*** End Patch", "stand at lines 1, 3"),
        ("*** Begin Patch\n*** Update File: a/one.py\n@@ def f():\n-x\n+y\n*** End Patch", "no line 'def f():'"),
        ("*** Begin Patch\n*** Update File: a/one.py\n-nowhere\n+y\n*** End Patch", "'nowhere' is not in the file"),
        ("*** Begin Patch\n*** Add File: a/one.py\n+y\n*** End Patch", "a file a/one.py already"),
        ("*** Begin Patch\n*** Add File: ../y\n+y\n*** End Patch", "'..'"),
        ("*** Begin Patch\n*** Delete File: gone\n*** End Patch", "no file 'gone'"),
    ],
)
async def test_what_does_not_apply_says_where_and_changes_nothing(
    call: Any, context: Any, patch: str, said: str
) -> None:
    before = await context.files.entries()
    good = "--- a/a/two.txt\n+++ b/a/two.txt\n@@ -2 +2 @@\n-beta\n+changed\n"
    for text in (patch, good + patch if patch.startswith(("---", "diff", "@@")) else patch):
        assert (await call(TOOL, patch=text))[0] == "error"
    assert said in (await call(TOOL, patch=patch))[1]["error"]
    assert await context.files.entries() == before


async def test_a_hunk_elsewhere_is_applied_where_it_stands_once_and_says_so(call: Any, context: Any) -> None:
    _, value = await call(
        TOOL, patch="--- a/a/one.py\n+++ b/a/one.py\n@@ -1,2 +1,2 @@\n print('one')\n-print('two')\n+x\n"
    )
    assert value["notes"] == ["a/one.py: hunk 1 says line 1 and was applied at line 3"]
    assert (await context.files.read("a/one.py")).endswith(b"print('one')\nx\n")


async def test_names_with_other_characters_are_quoted_as_git_does(call: Any, context: Any) -> None:
    patch = '--- /dev/null\n+++ "b/caf\\303\\251 \\"x\\".txt"\n@@ -0,0 +1 @@\n+x\n'
    assert (await call(TOOL, patch=patch))[0] == "ok"
    assert await context.files.read('café "x".txt') == b"x\n"


texts = st.lists(st.sampled_from(["a", "b", "", " c", "-d", "+e", "\\ No", "@@ x", "--- y"]), max_size=9).flatmap(
    lambda lines: st.sampled_from(["\n".join(lines), "".join(f"{line}\n" for line in lines)])
)


@settings(max_examples=60, deadline=None)
@given(before=texts, after=texts)
def test_what_git_writes_applies_to_exactly_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, before: str, after: str
) -> None:
    if before == after or not before or not after:
        return
    place = tmp_path_factory.mktemp("diff")
    for side, text in (("a", before), ("b", after)):
        (place / side).mkdir()
        (place / side / "f").write_text(text)
    said = subprocess.run(
        ["git", "diff", "--no-index", "--no-color", "a/f", "b/f"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    (patch,) = read_unified(said)
    assert (patch.source, patch.target) == ("a/f", "b/f")
    assert apply_hunks(before, patch.hunks, "f").text == after


@given(st.text(st.sampled_from(list("ab \n+-@*,1\\\r\t")), max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    for patch, read in ((text, read_unified), (f"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n{text}", read_unified)):
        try:
            for one in read(patch):
                apply_hunks("a\nb\n", one.hunks, "f")
        except PatchError:
            pass
    try:
        for one in read_begin_patch(f"*** Begin Patch\n*** Update File: f\n{text}\n*** End Patch\n"):
            apply_hunks("a\nb\n", one.hunks, "f")
    except PatchError:
        pass


def test_endless_repetition_takes_no_endless_time() -> None:
    text, lines = "a\n" * 300_000, "-a\n" * 20_000
    (patch,) = read_unified(f"--- a/f\n+++ b/f\n@@ -400000,20000 +1,0 @@\n{lines}")
    begun = time.monotonic()
    with pytest.raises(PatchError, match=r"stand at lines 1, 2, 3"):
        apply_hunks(text, patch.hunks, "f")
    with pytest.raises(PatchError, match="expects"):
        apply_hunks(text[:-2] + "b\n", read_unified("--- a/f\n+++ b/f\n@@ -5 +5 @@\n-c\n+d\n")[0].hunks, "f")
    assert "nearest is" in why_absent(text, "a\n" * 1_000 + "b", "f")
    assert time.monotonic() - begun < 5


def test_a_patch_of_many_files_is_read_in_a_moment() -> None:
    many = "".join(f"--- a/f{n}\n+++ b/f{n}\n@@ -1 +1 @@\n-a\n+b\n" for n in range(20_000))
    assert len(read_unified(many)) == 20_000

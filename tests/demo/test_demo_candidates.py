"""What a model may choose among: words, sentences, areas; and who imports whom."""

from collections import Counter

import pytest

from tenuto.demo.areas import AREAS, candidate_areas
from tenuto.demo.documents import DOCUMENT_AREAS, candidate_document_areas, read_document
from tenuto.demo.imports import links, module_names
from tenuto.demo.sentences import first_sentence, quotes
from tenuto.demo.source import Definition, ImportedName
from tenuto.demo.words import split_name, topic_words, words_of


def test_names_are_split_into_words() -> None:
    assert split_name("HTTPBasicAuth_for2Users") == ["http", "basic", "auth", "for", "users"]


def test_a_word_counts_once_for_each_text_and_twice_for_a_name() -> None:
    counts = words_of(["cookie cookie jar", "the cookie"], ["CookieJar"])
    assert counts == Counter({"cookie": 4})  # jar is too short, the is no candidate


def test_topic_words_are_rare_elsewhere_and_equal_ones_stand_in_order() -> None:
    files = {
        "a": Counter(cookie=4, common=3, zebra=2, apple=2, once=1),
        "b": Counter(common=3, session=2, sessions=2),
        "c": Counter(common=2, retry=2),
        "d": Counter(common=2),
    }
    found = topic_words(files, most=3)
    assert found == {"a": ("cookie", "apple", "zebra"), "b": ("session",), "c": ("retry",), "d": ()}


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Read the whole file. Then close it.", "Read the whole file."),
        ("Uses :class:`~pkg.mod.Thing` and ``code`` of `Docs <https://x>`_.", "Uses Thing and code of Docs."),
        ("Title\n=====\n\nThe prose that comes\nafter the title.", "The prose that comes after the title."),
        (":param x: nothing to say here", ""),
        ("Too short.", ""),
        ("It works roughly like this, you see:\n\n    code", ""),
        ("Handles e.g. Windows paths and the rest of them.", "Handles e.g. Windows paths and the rest of them."),
        ("word " * 60, ""),
        ("", ""),
    ],
)
def test_first_sentence(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_quotes_keep_the_order_and_drop_repetitions() -> None:
    definitions = [
        Definition(docstring="The same sentence here twice.", lines=1, name="a"),
        Definition(docstring="The same sentence here twice.", lines=1, name="b"),
        Definition(docstring="", lines=1, name="c"),
        Definition(docstring="Another sentence for the reader.", lines=1, name="d"),
    ]
    assert [(one.name, one.text) for one in quotes(definitions)] == [
        ("a", "The same sentence here twice."),
        ("d", "Another sentence for the reader."),
    ]


def test_one_sided_evidence_asks_nobody() -> None:
    assert candidate_areas("src/pkg/exceptions.py", ["BadThing", "OtherError"]) == ("errors",)
    assert candidate_areas("src/pkg/zzz.py") == ("helpers",)


def test_mixed_evidence_gives_candidates_best_first() -> None:
    assert candidate_areas("pkg/session_store.py", [], ["sqlite3"]) == ("storage", "network")


def test_what_all_files_share_is_no_evidence() -> None:
    assert candidate_areas("requests/types.py", ["Request"], common=()) == ("types", "network")
    assert candidate_areas("requests/types.py", ["Request"], common=("requests", "request")) == ("types",)


def test_document_areas() -> None:
    assert candidate_document_areas("CHANGELOG.md", ()) == ("history",)
    assert candidate_document_areas("zzz.bin.txt", ()) == ("other",)
    assert set(AREAS).isdisjoint(DOCUMENT_AREAS)


def test_modules_are_named_from_their_outermost_package() -> None:
    assert module_names(["src/pkg/__init__.py", "src/pkg/sub/__init__.py", "src/pkg/sub/mod.py", "tool.py"]) == {
        "tool": "tool.py",
        "pkg": "src/pkg/__init__.py",
        "pkg.sub": "src/pkg/sub/__init__.py",
        "pkg.sub.mod": "src/pkg/sub/mod.py",
    }


def _imports(*lines: tuple[int, str, str]) -> list[ImportedName]:
    return [ImportedName(level=level, module=module, name=name) for level, module, name in lines]


def test_links_follow_absolute_relative_and_namespace_imports() -> None:
    files = {
        "src/pkg/__init__.py": _imports((1, "core", "Core"), (1, "", "util")),
        "src/pkg/core.py": _imports((0, "pkg.util", "helper"), (0, "os", "path"), (3, "", "far")),
        "src/pkg/util.py": _imports((0, "pkg", "Core"), (0, "pkg.util", "")),
        "space/inner/one.py": _imports((0, "space.inner.two", "")),
        "space/inner/two.py": [],
        "tests/test_it.py": _imports((0, "pkg", "core")),
    }
    assert links(files) == {
        "src/pkg/__init__.py": ("src/pkg/core.py", "src/pkg/util.py"),
        "src/pkg/core.py": ("src/pkg/util.py",),
        "src/pkg/util.py": ("src/pkg/__init__.py",),
        "space/inner/one.py": ("space/inner/two.py",),
        "space/inner/two.py": (),
        "tests/test_it.py": ("src/pkg/core.py",),
    }


def test_a_document_gives_headings_sentence_and_links() -> None:
    text = (
        "# The `guide`\n\nHow to use this thing well. More.\n\n```\n# not a heading\n```\n\n"
        "Under line\n----------\nSee [setup](setup.md#x) and [web](https://x.org). TODO write\n"
    )
    found = read_document("docs/guide.md", text.encode(), {"docs/setup.md", "docs/guide.md"})
    assert found.names == ("The guide", "Under line")
    assert found.summary == "How to use this thing well."
    assert found.links == ("docs/setup.md",)
    assert [(one.line, one.text) for one in found.todos] == [(11, "TODO write")]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b"])
def test_a_document_that_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="text"):
        read_document("x.txt", data, ())

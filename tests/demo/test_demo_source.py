"""Facts of one Python file, of odd ones too."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.demo.sentences import first_sentence
from tenuto.demo.source import ImportedName, PythonFile, read_python


def read(text: str, *, package: bool = False) -> PythonFile:
    return read_python(textwrap.dedent(text).encode(), package=package)


def test_names_are_functions_classes_and_constants() -> None:
    found = read(
        """
        import os
        from typing import TypeVar
        T = TypeVar("T")
        LIMIT: int = 3
        logger = os.name
        def run(): ...
        async def _hidden(): ...
        class Engine: ...
        try:
            Fast = int
        except ImportError:
            class Slow: ...
        """
    )
    assert found.names == ("LIMIT", "run", "Engine", "Fast", "Slow")


def test_names_are_what_all_declares_and_binds() -> None:
    assert read("__all__ = ['b', 'a', 'nowhere']\nfrom x import a\ndef b(): ...\ndef c(): ...\n").names == ("b", "a")


def test_a_package_offers_what_it_imports_from_itself() -> None:
    text = "import os\nfrom .core import Group, _private\nfrom other import Thing\n"
    assert read(text, package=True).names == ("Group",)
    assert read(text).names == ()


def test_without_public_definitions_variables_then_private_ones_are_named() -> None:
    assert read("codes = dict()\ndef _fill(): ...\n").names == ("codes",)
    assert read("def _fill(): ...\ndef __getattr__(name): ...\n").names == ("_fill",)


def test_undocumented_leaves_out_private_overloaded_and_setters() -> None:
    found = read(
        '''
        from typing import overload
        class Box:
            """A box."""
            @property
            def size(self):
                """Its size."""
            @size.setter
            def size(self, value): ...
            @overload
            def put(self, x: int): ...
            def put(self, x): ...
            def _inner(self): ...
        def bare(): ...
        '''
    )
    assert found.undocumented == ("Box.put", "bare")


def test_imports_and_identifiers() -> None:
    found = read("import a.b\ndef f():\n    from ..c import d as e\n    return a.thing\n")
    assert found.imports == (
        ImportedName(level=0, module="a.b", name=""),
        ImportedName(level=2, module="c", name="d"),
    )
    assert {"thing", "a.b", "d"} <= found.identifiers


def test_todos_come_from_comments_only() -> None:
    found = read('text = "# TODO not me"\nx = 1  # a TODO: me,   really\n# todo in passing\n')
    assert [(one.line, one.text) for one in found.todos] == [(2, "TODO: me, really")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def f(:\n", "does not parse (line 1)"),
        (b"x = 1\0", "does not parse"),
        (b"\xff\xfe\xff", "does not parse"),
        (b"# -*- coding: nonsense -*-\n", "does not parse"),
        (b"# -*- coding: ascii -*-\nx = '\xe9'\n", "its encoding cannot be read"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "does not parse"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r"does not parse|encoding") as caught:
        read_python(data)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "#" * 500_000,
        "#TODO " * 80_000,
        '"""' + ":a" * 200_000 + '"""',
        '"""' + "`a <" * 100_000 + '"""',
        '"""x' + "\n" * 200_000 + 'y"""',
        "if a:\n pass\n" + "elif b:\n pass\n" * 90,
    ],
    ids=["hashes", "requests", "colons", "ticks", "lines", "elifs"],
)
def test_hostile_files_take_no_longer_than_others(text: str) -> None:
    """Each of these would outlast the test's time limit if a pattern were quadratic in it."""
    found = read_python(text.encode())
    assert first_sentence(found.docstring) == ""


def test_other_encodings_and_line_ends() -> None:
    found = read_python("# -*- coding: latin-1 -*-\r\ndef grüße():\r\n    'Höflich grüßen.'\r\n".encode("latin-1"))
    assert found.names == ("grüße",)
    assert found.lines == 3
    assert read_python(b"\xef\xbb\xbfx = 1\n").lines == 1
    assert read_python(b"x = '\\d'\n").lines == 1  # a doubtful escape warns, and that is not our warning
    assert read_python(b"").names == ()


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_facts_or_a_reason(data: bytes) -> None:
    def facts_or_reason() -> object:
        try:
            return read_python(data)
        except ValueError as error:
            return str(error)

    found = facts_or_reason()
    assert found == facts_or_reason()
    assert not isinstance(found, str) or "\n" not in found

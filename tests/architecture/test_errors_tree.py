"""The tree in the docstring of `tenuto.errors` is what the classes are."""

from __future__ import annotations

import inspect
import re

from tenuto import errors

LINE = re.compile(r"^    (?P<indent>[│ ]*)(?:[├└]── )?(?P<name>[A-Z]\w+) +(?P<code>\d+|-|exit code)")


def drawn() -> dict[str, tuple[str | None, str]]:
    """Class name -> the class it hangs from, and its exit code as written."""
    found: dict[str, tuple[str | None, str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        depth = 0 if not found else len(match["indent"]) // 4 + 1
        above = [*above[:depth], match["name"]]
        found[match["name"]] = (above[depth - 1] if depth else None, match["code"])
    return found


def defined() -> dict[str, type[errors.TenutoError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.TenutoError)
    }


def test_every_exception_is_drawn_and_exported() -> None:
    assert set(drawn()) == set(defined())
    assert set(defined()) <= set(errors.__all__)
    assert all(name.endswith("Error") for name in defined())


def test_the_drawing_shows_ancestors_and_exit_codes() -> None:
    classes = defined()
    for name, (parent, code) in drawn().items():
        if parent is not None:
            assert issubclass(classes[name], classes[parent]), f"{name} is drawn below {parent}"
        if code.isdigit():
            assert classes[name].exit_code == int(code), name


def test_codes_for_machines_are_unique() -> None:
    codes = [error.code for name, error in defined().items() if name != "TenutoError"]
    assert len(set(codes)) == len(codes)

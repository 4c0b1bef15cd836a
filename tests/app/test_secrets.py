"""Secrets in the configuration: declared by name, never by value; read where they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.app.config import Settings, read_settings
from tenuto.app.secrets import redactor_of, require_secrets, values_of
from tenuto.errors import UsageError


def settings(tmp_path: Path, text: str, **variables: str) -> Settings:
    (tmp_path / "tenuto.toml").write_text(text)
    return read_settings(tmp_path, {}, {"XDG_CONFIG_HOME": str(tmp_path / "home"), **variables})


def test_values_come_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    text = '[secrets]\nA = { env = "X" }\nB = { file = "key" }\nC = { env = "NOT_SET" }\nD = { env = "SHORT" }'
    found = settings(tmp_path, text, X="from-environment", SHORT="short")
    assert values_of(found) == {"A": "from-environment", "B": "from-a-file"}
    assert "from-" not in repr(found)
    assert redactor_of(found).text("from-a-file from-environment") == "[secret:B] [secret:A]"
    require_secrets(found, {"A", "B"})


def test_the_nearest_file_wins_for_one_name(tmp_path: Path) -> None:
    user = tmp_path / "home" / "tenuto"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('secrets = { A = { env = "USER_A" }, B = { env = "USER_B" } }')
    found = settings(tmp_path, 'secrets = { A = { env = "PROJECT_A" } }')
    assert {name: source.env for name, source in found.secrets.items()} == {"A": "PROJECT_A", "B": "USER_B"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('secrets = "value-to-hide"', "has to be a table"),
        ('[secrets]\nA = "value-to-hide"', "never the value"),
        ('[secrets]\nA = { value = "value-to-hide" }', "never the value"),
        ('[secrets]\nA = { env = "X", file = "Y" }', "never the value"),
        ("[secrets]\nA = { env = 1 }", "no text"),
        ('[secrets]\n"A B" = { env = "X" }', "cannot have this name"),
        ('[secrets]\nTENUTO_RUN_ID = { env = "X" }', "cannot have this name"),
        ("[secret_patterns]\ngithub-toke = true", "did you mean github-token?"),
        ('[secret_patterns]\nacme = "(a+)+"', "a pattern is"),
        ("[secret_patterns]\nacme = 5", "not a pattern"),
    ],
)
def test_what_cannot_be_declared(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, text)
    assert said in str(caught.value)
    assert "tenuto.toml" in str(caught.value)
    assert "value-to-hide" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{ env = "GONE" }', "GONE is not set"),
        ('{ env = "SHORT" }', "fewer than 8"),
        ('{ file = "gone" }', "cannot be read"),
        ('{ file = "binary" }', "no UTF-8"),
    ],
)
def test_a_step_cannot_be_given_what_is_not_there(tmp_path: Path, entry: str, said: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff" * 20)
    found = settings(tmp_path, f"[secrets]\nA = {entry}", SHORT="short")
    with pytest.raises(UsageError, match=said):
        require_secrets(found, {"A"})
    with pytest.raises(UsageError, match=r"no secret B"):
        require_secrets(found, {"B"})

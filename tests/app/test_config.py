"""Where settings come from, and which one holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.app.config import Settings, find_root, read_settings
from tenuto.core.models import Price
from tenuto.errors import UsageError
from tenuto.runtime.pacing import ProviderLimits


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "tenuto").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / ".git").mkdir()
    return directory


def test_the_nearest_source_wins_and_is_named(project: Path, home: Path) -> None:
    user = home / "tenuto" / "config.toml"
    variables = {"XDG_CONFIG_HOME": str(home)}

    def model(flags: dict[str, str] | None = None, extra: dict[str, str] | None = None) -> tuple[str | None, str]:
        found = read_settings(project / "deep", flags or {}, variables | (extra or {}))
        return found.model, found.origins.get("model", "")

    assert model() == (None, "")
    user.write_text('model = "mock:user"')
    assert model() == ("mock:user", f"{user}:1")
    (project / "pyproject.toml").write_text('[tool.tenuto]\nmodel = "mock:pyproject"')
    assert model() == ("mock:pyproject", f"{project}/pyproject.toml:2")
    (project / "tenuto.toml").write_text('model = "mock:file"')
    assert model() == ("mock:file", f"{project}/tenuto.toml:1")
    assert model(extra={"TENUTO_MODEL": "mock:env"}) == ("mock:env", "TENUTO_MODEL")
    assert model({"model": "mock:flag"}, {"TENUTO_MODEL": "mock:env"}) == ("mock:flag", "flag")


def test_the_store_lies_at_the_projects_root(project: Path) -> None:
    assert find_root(project / "deep" / "er") == project
    assert read_settings(project / "deep", {}, {}).store == project / ".tenuto"
    (project / "deep" / ".tenuto").mkdir()
    assert read_settings(project / "deep" / "er", {}, {}).store == project / "deep" / ".tenuto"


def test_a_store_in_a_file_is_relative_to_the_file(project: Path) -> None:
    (project / "tenuto.toml").write_text('store = "runs"')
    assert read_settings(project / "deep", {}, {}).store == project / "runs"
    assert read_settings(project, {"store": f"file://{project}/x"}, {}).store == project / "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('modell = "x"', "did you mean model"),
        ("max_parallel = 0", "1 to 10000"),
        ("max_parallel = true", "1 to 10000"),
        ("model = 7", "quotes"),
        ('sandbox = "docker"', "docker"),
        ("model = ", "TOML"),
        ("[" * 5000, "TOML"),
        ("prices = 3", "table"),
        ('prices = { "gpt" = { input = "1", output = "1" } }', "provider:model"),
        ('prices = { "openai:m" = { input = "1" } }', "output is missing"),
        ('prices = { "openai:m" = { input = 1, output = "1" } }', "dollars in quotes"),
        ('prices = { "openai:m" = { input = "-1", output = "1" } }', "dollars in quotes"),
        ('prices = { "openai:m" = { input = "1e3", output = "1" } }', "dollars in quotes"),
        ('prices = { "openai:m" = { input = "9999999", output = "1" } }', "dollars in quotes"),
        ('prices = { "openai:m" = { input = "1", output = "1", date = "today" } }', "date is no day"),
        ('prices = { "openai:m" = { input = "1", output = "1", sauce = "x" } }', "did you mean source"),
        ("providers = { openai = 3 }", "has to be a table"),
        ("providers = { openai = { at_once = 0 } }", "at_once is no whole number from 1"),
        ("providers = { openai = { requests_per_minute = true } }", "no whole number"),
        ("providers = { openai = { request_per_minute = 3 } }", "did you mean requests_per_minute"),
        ('providers = { "openai:m" = { at_once = 3 } }', "a provider cannot have this name"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(project: Path, text: str, words: str) -> None:
    (project / "tenuto.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_settings(project, {}, {})
    assert words in str(caught.value)
    assert "tenuto.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("tenuto.toml", 'model = "mock:"\n\nmodell = "x"', 3),
        ("tenuto.toml", '"modell" = "x"', 1),
        ("tenuto.toml", "# modell\n[modell]\nx = 1", 2),
        ("pyproject.toml", '[tool.other]\nmodell = 1\n[tool.tenuto]\nmodel = "m:"\n  modell = 1', 5),
        ("tenuto.toml", 'model = "mock:"\nmax_parallel = \n', 2),
        ("tenuto.toml", 'model = "mock:"\nmax_parallel = "many"\n', 2),
    ],
)
def test_a_wrong_line_is_named_by_its_number(project: Path, file: str, text: str, line: int) -> None:
    (project / file).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_settings(project, {}, {})
    assert f"{file}:{line}" in str(caught.value)


def test_prices_and_limits_are_declared_in_files(project: Path, home: Path) -> None:
    (home / "tenuto" / "config.toml").write_text("[providers]\nopenai = { at_once = 9 }\nlocal = { at_once = 1 }\n")
    (project / "tenuto.toml").write_text(
        """\
[prices."openai:m"]
input = "0.25"
output = "2"
source = "the contract"
date = 2026-11-01

[providers.openai]
requests_per_minute = 500
tokens_per_minute = 200000
failures_max = 0
"""
    )
    found = read_settings(project, {}, {"XDG_CONFIG_HOME": str(home)})
    assert found.prices == {
        "openai:m": Price(date="2026-11-01", input_micros=250_000, output_micros=2_000_000, source="the contract")
    }
    assert found.providers == {
        "openai": ProviderLimits(failures_max=None, requests_per_minute=500, tokens_per_minute=200_000),
        "local": ProviderLimits(at_once=1),
    }


def test_a_wrong_variable_is_named(project: Path) -> None:
    with pytest.raises(UsageError, match="max_parallel \\(TENUTO_MAX_PARALLEL\\)"):
        read_settings(project, {}, {"TENUTO_MAX_PARALLEL": "many"})
    assert read_settings(project, {}, {"TENUTO_MAX_PARALLEL": "7"}).max_parallel == 7
    assert read_settings(project, {}, {"TENUTO_MAX_PARALLEL": ""}).max_parallel == 4


def test_secrets_of_the_environment_are_not_shown(project: Path) -> None:
    found = read_settings(project, {}, {"OPENAI_API_KEY": "sk-1234567890"})
    assert found.openai_api_key == "sk-1234567890"
    assert "sk-1234567890" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "other.example"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": ".example.com, x"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "ample.com"}, "http://p:1"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
    ],
)
def test_the_proxy_is_the_environments(tmp_path: Path, variables: dict[str, str], proxy: str | None) -> None:
    settings = Settings(root=tmp_path, store=tmp_path, variables=variables)
    assert settings.proxy_for("https://api.example.com/v1") == proxy

"""The settings that hold, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]


@pytest.fixture
def configured(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "tenuto.toml").write_text('# ours\nmodel = "mock:file"\n[secrets]\ndeploy = { env = "DEPLOY_KEY" }\n')
    (project / "pyproject.toml").write_text('[tool.tenuto]\nmodel = "mock:weaker"\nsandbox = "sandlock"\n')
    monkeypatch.setenv("TENUTO_MAX_PARALLEL", "9")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:pass-word-1234@example.com/v1")
    monkeypatch.setenv("DEPLOY_KEY", "deploy-key-value-123")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefgh12345678")
    return project


def test_every_setting_has_its_value_and_its_origin(tenuto: Tenuto, configured: Path) -> None:
    found = tenuto("config", "show", "--store", "elsewhere", "--json").object
    origins = {one["key"]: (one["value"], one["origin"]) for one in found["settings"]}
    assert origins == {
        "max_parallel": (9, "TENUTO_MAX_PARALLEL"),
        "model": ("mock:file", f"{configured}/tenuto.toml:2"),
        "openai_base_url": ("https://***@example.com/v1", "OPENAI_BASE_URL"),
        "sandbox": ("sandlock", f"{configured}/pyproject.toml:3"),
        "store": (str(configured / "elsewhere"), "flag"),
        "strict": (False, "default"),
    }
    assert found["secrets"] == [
        {"name": "OPENAI_API_KEY", "source": "variable OPENAI_API_KEY", "usable": True},
        {"name": "deploy", "source": "variable DEPLOY_KEY", "usable": True},
    ]
    shown = tenuto("config", "show", "--origin").out
    assert "tenuto.toml:2" in shown
    assert "default" in shown
    assert "origin" not in tenuto("config", "show").out


def test_no_secret_is_ever_shown(tenuto: Tenuto, configured: Path) -> None:
    for arguments in (["show"], ["show", "--origin", "--json"], ["get", "openai_base_url"], ["path", "--json"]):
        said = tenuto("config", *arguments)
        for secret in ("pass-word-1234", "deploy-key-value-123", "sk-abcdefgh12345678"):
            assert secret not in said.out + said.err


def test_one_setting_is_printed_alone(tenuto: Tenuto, configured: Path) -> None:
    assert tenuto("config", "get", "model").out == "mock:file\n"
    assert tenuto("config", "get", "max_parallel", "--json").object == {
        "key": "max_parallel",
        "value": 9,
        "origin": "TENUTO_MAX_PARALLEL",
    }
    refused = tenuto("config", "get", "modle")
    assert refused.code == 2
    assert "did you mean model?" in refused.err


def test_the_files_are_listed_in_their_order(tenuto: Tenuto, configured: Path) -> None:
    found = tenuto("config", "path", "--json").object["files"]
    assert [(Path(one["path"]).name, one["exists"]) for one in found] == [
        ("tenuto.toml", True),
        ("pyproject.toml", True),
        ("config.toml", False),
    ]
    assert "config.toml   (not there)" in tenuto("config", "path").out


def test_an_unknown_key_is_named_with_its_line(tenuto: Tenuto, project: Path) -> None:
    (project / "tenuto.toml").write_text('model = "mock:"\nmax_paralell = 3\n')
    said = tenuto("config", "show")
    assert said.code == 2
    assert "tenuto.toml:2: there is no setting max_paralell; did you mean max_parallel?" in said.err

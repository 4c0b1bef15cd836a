"""Choosing a sandbox: the first that works, and what is said where none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.adapters.sandboxes import finding
from tenuto.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from tenuto.adapters.sandboxes.finding import find_sandbox
from tenuto.errors import ExitCode, SandboxUnavailableError
from tenuto.ports.tools import SandboxCommand


@pytest.mark.sandbox
async def test_bubblewrap_comes_first() -> None:
    assert (await find_sandbox()).name == "bubblewrap"


@pytest.mark.sandbox
async def test_sandlock_where_bubblewrap_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "found_program", lambda _: "/bin/false")
    assert (await find_sandbox()).name == "sandlock"


async def test_none_only_when_asked_for() -> None:
    assert (await find_sandbox("none")).name == "none"


async def test_where_there_is_none_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "found_program", lambda _: None)
    monkeypatch.setattr("tenuto.adapters.sandboxes.sandlocked.find_spec", lambda _: None)
    with pytest.raises(SandboxUnavailableError) as caught:
        await find_sandbox()
    line = str(caught.value)
    assert "\n" not in line
    assert "apt-get install bubblewrap" in line
    assert "pip install 'tenuto[sandbox]'" in line
    assert "--no-sandbox" in line
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/bwrap"])
async def test_a_bwrap_that_does_not_work_is_unavailable(program: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailableError):
        await BubblewrapSandbox(program).run(
            SandboxCommand(argv=("/bin/true",), directory=str(tmp_path), environment={})
        )


@pytest.mark.sandbox
async def test_a_directory_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    sandbox = await find_sandbox()
    with pytest.raises(SandboxUnavailableError, match="missing"):
        await sandbox.run(SandboxCommand(argv=("/bin/true",), directory=str(tmp_path / "missing"), environment={}))

"""What `doctor` finds, and how to get what is missing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[int], list[str]]]:
    """A server that answers with the status in its list and notes the keys it was shown."""
    status, keys = [200], []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", status, keys
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def finding(tenuto: Tenuto, name: str) -> dict[str, Any]:
    return next(one for one in tenuto("doctor", "--json").object["findings"] if one["name"] == name)


def test_an_endpoint_is_asked_where_one_is_configured(
    tenuto: Tenuto, endpoint: tuple[str, list[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, status, keys = endpoint
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    found = finding(tenuto, "openai models")
    assert (found["ok"], found["needed"], keys) == (False, False, [])
    assert found["fix"].startswith("export OPENAI_API_KEY=")
    monkeypatch.setenv("OPENAI_BASE_URL", url.replace("//", "//me:secret-word@"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefgh")
    found = finding(tenuto, "openai models")
    assert (found["ok"], found["what"]) == (True, f"{url} answers")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    status[0] = 401
    found = finding(tenuto, "openai models")
    assert (found["ok"], "refuses the key" in found["what"]) == (False, True)
    assert "sk-abcdefgh" not in str(found)
    assert keys[-1] == "Bearer sk-abcdefgh"


def test_an_endpoint_that_does_not_answer_is_no_reason_to_wait(
    tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    found = finding(tenuto, "openai models")
    assert (found["ok"], found["what"].startswith("http://127.0.0.1:9/v1 does not answer")) == (False, True)


def test_completion_is_looked_for_where_shells_look(
    tenuto: Tenuto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZDOTDIR", raising=False)
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    found = finding(tenuto, "completion")
    assert (found["ok"], found["fix"]) == (False, tenuto("completion", "zsh", "--json").object["install"])
    (tmp_path / ".zshrc").write_text('eval "$(tenuto completion zsh)"\n')
    assert finding(tenuto, "completion")["ok"]
    monkeypatch.setenv("SHELL", "/bin/other")
    assert finding(tenuto, "completion")["what"] == "not known for other"


def test_pages_of_the_store_are_checked(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text('tenuto: 1\nname: talk\nsteps: { a: { prompt: "x" } }\n')
    tenuto("run", "talk.plan.yaml")
    found = finding(tenuto, "store")
    assert (found["ok"], "1 run," in found["what"], "pages whole" in found["what"]) == (True, True, True)
    database = sqlite3.connect(project / ".tenuto" / "journal.db")
    database.execute("PRAGMA writable_schema = 1")
    database.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'inbox'")
    database.commit()
    database.close()
    said = tenuto("doctor")
    assert said.code == 1
    assert "not ready" in said.out
    assert "restore it from a backup" in said.out


def test_what_is_missing_is_counted(tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    said = tenuto("doctor")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("ready; ")
    assert "SHELL is not set" in said.out

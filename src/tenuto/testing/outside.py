"""Tests from outside: the `tenuto` command and the counting model server as processes of their own.

    with ServerProcess(faults=("slow:10%1",)) as server:
        tenuto = CommandLine(store, directory=repository, environment=server.environment)
        engine = tenuto.start("run", "fix.plan.yaml", "--run", "r1")
        server.wait_counted(5)
        engine.kill()
        assert tenuto.call("resume", "r1").data["status"] == "ok"

Nothing here imports an engine: what is checked is what users have.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, build_opener

from tenuto.errors import TenutoError

__all__ = ["Answer", "CommandLine", "ServerProcess"]

POLL_S = 0.004


class Answer(NamedTuple):
    """What a command said. `data` is its JSON object (empty where it printed none)."""

    exit: int
    data: dict[str, Any]
    stdout: str
    stderr: str
    seconds: float

    @property
    def error(self) -> dict[str, Any]:
        """The error object, or an empty one."""
        found: dict[str, Any] = self.data.get("error") or {}
        return found


class CommandLine:
    """`tenuto` over one store. The environment is empty but for what a shell gives and `environment`."""

    def __init__(
        self,
        store: Path,
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        timeout_s: float = 120,
    ) -> None:
        self.store = store
        self.directory = directory
        self.environment = dict(environment or {})
        self.prefix = tuple(prefix)
        self._timeout_s = timeout_s

    def arguments(self, *words: str) -> list[str]:
        """The command line, with the store, as a list."""
        program = os.path.join(sysconfig.get_path("scripts"), "tenuto")
        return [*self.prefix, program, *words, "--store", str(self.store)]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `tenuto WORDS --json` and leave it running."""
        usual = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return subprocess.Popen(
            [*self.arguments(*words), "--json"],
            cwd=self.directory,
            env={**usual, "HOME": str(self.directory), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )

    def call(self, *words: str) -> Answer:
        """Run `tenuto WORDS --json` to its end. TenutoError where it does not end in time."""
        began = time.perf_counter()
        process = self.start(*words)
        return self.finish(process, began=began)

    def finish(self, process: subprocess.Popen[str], *, began: float | None = None) -> Answer:
        """Wait for a command that `start` started."""
        began = time.perf_counter() if began is None else began
        try:
            stdout, stderr = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise TenutoError(f"no end within {self._timeout_s:g} s", where=str(process.args)) from error
        data: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            found = json.loads(stdout)
            data = found if isinstance(found, dict) else {}
        return Answer(process.returncode, data, stdout, stderr, time.perf_counter() - began)

    def records(self, run: str) -> list[dict[str, Any]]:
        """The records of a run, as stored. TenutoError where they cannot be read."""
        answer = self.call("events", run)
        if answer.exit != 0:
            raise TenutoError(f"exit {answer.exit}: {answer.stdout} {answer.stderr}", where=f"events {run}")
        return [json.loads(line) for line in answer.stdout.splitlines()]


class ServerProcess:
    """`tenuto.testing.model_server` in its own process, which outlives the engines under test."""

    def __init__(self, *, faults: Sequence[str] = (), seconds_max: float = 900) -> None:
        self._arguments = [sys.executable, "-m", "tenuto.testing.model_server", "--seconds-max", str(seconds_max)]
        for fault in faults:
            self._arguments += ["--fault", fault]
        self._process: subprocess.Popen[str] | None = None
        self._opener = build_opener(ProxyHandler({}))
        self.address = ""

    def __enter__(self) -> ServerProcess:
        self._process = subprocess.Popen(self._arguments, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = json.loads(self._process.stdout.readline())["address"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()

    @property
    def environment(self) -> dict[str, str]:
        """What an engine needs to reach it as `openai:NAME`."""
        return {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{self.address}/v1"}

    def counts(self) -> dict[str, int]:
        """See `model_server.Counts`."""
        counts: dict[str, int] = self._get("/counts")
        return counts

    def calls(self) -> list[dict[str, Any]]:
        """Every billed call, in order: see `model_server.CountedCall`."""
        calls: list[dict[str, Any]] = self._get("/calls")["calls"]
        return calls

    def waiting(self, calls: int, *, seconds_max: float = 30) -> Iterator[int]:
        """Yield the number of billed calls again and again until it reaches `calls` or the time is over."""
        end = time.monotonic() + seconds_max
        while True:
            counted = self.counts()["counted"]
            yield counted
            if counted >= calls or time.monotonic() > end:
                return
            time.sleep(POLL_S)

    def wait_counted(self, calls: int, *, seconds_max: float = 30) -> None:
        """Return when `calls` requests are billed. TenutoError where that takes too long."""
        counted = 0
        for counted in self.waiting(calls, seconds_max=seconds_max):  # noqa: B007 - the last one is asked for below
            pass
        if counted < calls:
            raise TenutoError(f"{counted} calls within {seconds_max:g} s, not {calls}", where=self.address)

    def _get(self, path: str) -> Any:
        with self._opener.open(self.address + path, timeout=30) as reply:
            return json.load(reply)

"""Shared parts of the benchmarks: the 2 KB payload, the yardstick, the JSON line. Standard library only.

The form of the lines, the payload and the yardstick are those of the peers' scripts, so that figures compare.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from typing import Any

_rng = random.Random(7)
_TEXT = "".join(_rng.choice("abcdefghijklmnopqrstuvwxyz0123456789 ") for _ in range(1 << 16))


def payload(i: int) -> dict[str, Any]:
    """A tool or model result of about 2 KB as compact JSON; differs for every i."""
    o = (i * 131) % (len(_TEXT) - 2048)
    return {
        "step": i,
        "agent": "coder",
        "tool": "edit_file",
        "model": {"name": "mock-1", "temperature": 0, "top_p": 1, "seed": 123456789, "prompt_version": "v3"},
        "usage": {"input_tokens": 812, "output_tokens": 377},
        "status": "success",
        "output": _TEXT[o : o + 1780],
    }


def yardstick(directory: str, n: int = 200) -> float:
    """Mean ms of one 2 KB row committed alone: SQLite, WAL, synchronous=FULL, one connection."""
    path = os.path.join(directory, f"yard-{os.getpid()}.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table t(id integer primary key, b text)")
    body = json.dumps(payload(1))
    begun = time.perf_counter()
    for _ in range(n):
        connection.execute("insert into t(b) values (?)", (body,))
    passed = time.perf_counter() - begun
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    return passed / n * 1e3


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def size_of(directory: str) -> int:
    """Bytes on disk below a directory."""
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(directory) for name in names)


class Stopwatch:
    """Wall seconds and this process's own CPU seconds, all threads."""

    wall: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu


@dataclass
class Bench:
    """One measurement: its workload, its folder, and the yardstick before it."""

    peer: str
    workload: str
    variant: str
    n: int
    directory: str
    yard: bool

    def __post_init__(self) -> None:
        self._before = yardstick(self.directory) if self.yard else 0.0

    @classmethod
    def from_arguments(cls, peer: str, workloads: str, variants: list[str]) -> Bench:
        parser = argparse.ArgumentParser()
        parser.add_argument("workload", help=workloads)
        parser.add_argument("--variant", default=variants[0], choices=variants)
        parser.add_argument("--n", type=int, default=0, help="steps (0: the workload's own size)")
        parser.add_argument("--no-yard", action="store_true", help="skip the yardstick (for counting system calls)")
        given = parser.parse_args()
        directory = tempfile.mkdtemp(prefix="tenuto-bench-")
        return cls(peer, given.workload, given.variant, given.n, directory, not given.no_yard)

    def emit(self, steps: int, watch: Stopwatch, **extra: Any) -> None:
        """Print one JSON line."""
        after = yardstick(self.directory) if self.yard else 0.0
        yard = (self._before + after) / 2
        ms = watch.wall / max(1, steps) * 1e3
        line = {
            "peer": self.peer,
            "variant": self.variant,
            "workload": self.workload,
            "steps": steps,
            "wall_s": round(watch.wall, 4),
            "ms_per_step": round(ms, 4),
            "cpu_ms_per_step": round(watch.cpu / max(1, steps) * 1e3, 4),
            "steps_per_s": round(steps / watch.wall, 1) if watch.wall else None,
            "yard_ms": round(yard, 4) if yard else None,
            "x_yard": round(ms / yard, 3) if yard else None,
            "rss_mb": round(rss_mb(), 1),
            **extra,
        }
        print(json.dumps(line), flush=True)

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

"""Run every workload beside the floor, interleaved, and print one JSON line a measurement; medians go to stderr.

python bench/run.py [ROUNDS]        (default 3 rounds, some two minutes on a quiet machine)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORKLOADS = [
    ("floor.py", "W1"),
    ("workloads.py", "W1"),
    ("floor.py", "W2"),
    ("workloads.py", "W2"),
    ("floor.py", "W3"),
    ("workloads.py", "W3"),
    ("workloads.py", "W4"),
    ("workloads.py", "W5"),
]
COLD = {
    "import": [sys.executable, "-c", "import tenuto"],
    "help": [sys.executable, "-m", "tenuto", "--help"],
    "python": [sys.executable, "-c", "pass"],
}
FIRST_STEP = """
name: first
steps: { only: { prompt: hello } }
"""


def measured(script: str, workload: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, str(HERE / script), workload], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"{script} {workload} failed")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def cold(name: str, command: list[str], directory: str | None = None) -> dict[str, Any]:
    """One process from start to end: its CPU, wall time and peak memory."""
    begun = time.perf_counter()
    pid = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)
    _, status, usage = os.wait4(pid.pid, 0)
    wall = time.perf_counter() - begun
    pid.returncode = os.waitstatus_to_exitcode(status)
    return {
        "peer": "tenuto",
        "workload": "W6",
        "variant": name,
        "exit": pid.returncode,
        "wall_s": round(wall, 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 4),
        "rss_mb": round(usage.ru_maxrss / 1024, 1),
    }


def cold_lines() -> list[dict[str, Any]]:
    lines = [cold(name, command) for name, command in COLD.items()]
    with tempfile.TemporaryDirectory() as directory:
        plan = Path(directory) / "first.plan.yaml"
        plan.write_text(FIRST_STEP)
        run = [sys.executable, "-m", "tenuto", "run", str(plan), "--model", "mock:", "--repo", directory, "--json"]
        lines.append(cold("first step", run, directory))
    return lines


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    lines: list[dict[str, Any]] = []
    for number in range(rounds):
        for script, workload in WORKLOADS:
            found = measured(script, workload)
            lines.extend(found)
            for line in found:
                print(json.dumps(line), flush=True)
        for line in cold_lines():
            lines.append(line)
            print(json.dumps(line), flush=True)
        sys.stderr.write(f"round {number + 1} of {rounds} done\n")
    summarise(lines)


def summarise(lines: list[dict[str, Any]]) -> None:
    """Medians, one line for each peer and workload."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["workload"], line["peer"], line["variant"]), []).append(line)
    for (workload, peer, variant), found in sorted(groups.items()):
        figures = []
        for field in ("ms_per_step", "cpu_ms_per_step", "x_yard", "steps_per_s", "x_content", "cpu_s", "rss_mb"):
            values = [line[field] for line in found if line.get(field) is not None]
            if values:
                figures.append(f"{field} {statistics.median(values):g}")
        for field in (
            "fold_records_per_s",
            "chain_and_fold_records_per_s",
            "replay_records_per_s",
            "from_snapshot_s",
            "commits",
        ):
            values = [line[field] for line in found if line.get(field) is not None]
            if values:
                figures.append(f"{field} {statistics.median(values):g}")
        sys.stderr.write(f"{workload} {peer} ({variant}): {', '.join(figures)}\n")


if __name__ == "__main__":
    main()

"""The script that starts a sandboxed command under its limits, and how its end is read."""

from __future__ import annotations

import resource
import signal

from tenuto.ports.tools import SandboxCommand

__all__ = ["FILES_MAX", "LAUNCH", "launch_arguments", "normal_exit_code"]

FILES_MAX = 1_024
"""Open files of one process."""

LAUNCH = """\
if [ "$1" = wait ]; then
  printf r >&0 && IFS= read -r go && [ "$go" = go ] || exit 125
fi
ulimit -c 0; ulimit -n "$3"; ulimit -d "$4"; ulimit -f "$5"
if [ -n "$6" ]; then
  if [ -n "$BASH_VERSION" ]; then ulimit -u "$6"; else ulimit -p "$6"; fi
fi
input=$2; shift 6
if [ "$input" = none ]; then exec "$@" </dev/null; fi
exec "$@"
"""
"""For `/bin/sh -c LAUNCH sh wait|start given|none FILES DATA_KB BLOCKS TASKS|"" COMMAND...`.

With `wait` it says `r` on its standard input, a socket, and starts the command only when the engine answers `go`:
an engine that died meanwhile never does. Memory is limited by RLIMIT_DATA: RLIMIT_AS would count address space
that Node, Java and Go reserve and never use.
"""


def launch_arguments(command: SandboxCommand, *, wait: bool, count_tasks: bool) -> list[str]:
    """argv that starts `command` under its limits. `count_tasks` sets RLIMIT_NPROC, which needs a user namespace
    of its own: elsewhere it would count everything that the user runs."""
    return [
        "/bin/sh",
        "-c",
        LAUNCH,
        "sh",
        "wait" if wait else "start",
        "given" if command.standard_input else "none",
        str(_at_most(resource.RLIMIT_NOFILE, FILES_MAX)),
        str(max(1, _at_most(resource.RLIMIT_DATA, command.memory_bytes_max) >> 10)),
        str(max(1, _at_most(resource.RLIMIT_FSIZE, command.file_bytes_max) >> 9)),
        str(_at_most(resource.RLIMIT_NPROC, command.processes_max)) if count_tasks else "",
        *command.argv,
    ]


def _at_most(kind: int, wanted: int) -> int:
    """`wanted`, or the hard limit of this process where that is lower: a shell fails when it asks for more."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def normal_exit_code(code: int) -> int:
    """Negative for a signal, also where a shell or a sandbox between reported it as 128 + signal."""
    number = code - 128
    return -number if 0 < number < signal.NSIG else code

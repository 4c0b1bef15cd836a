"""What reaches the world without `ctx`, by name: clocks, chance, the environment, files, network, processes, tasks.

One table for all that look: the reader of sources (`check`), the audit hook (a run) and the profile hook (tests).
`print` and `logging` are not in it: what they write is nobody's input, though it is written again on every rerun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "BARE",
    "CHANCE",
    "CLOCK",
    "ENVIRONMENT",
    "FILES",
    "INPUT",
    "NETWORK",
    "PATH_KEEPING",
    "PATH_READING",
    "PROCESS",
    "SETS",
    "TASKS",
    "WAIT",
    "Reach",
    "reach_of",
]


class Reach(NamedTuple):
    """One way out: what it is, and what a step program uses instead."""

    what: str
    fix: str


CLOCK = Reach("a clock", "use ctx.now()")
WAIT = Reach("a wait of its own", "use ctx.sleep(duration_ms)")
CHANCE = Reach("chance", "use ctx.random()")
ENVIRONMENT = Reach("the environment", "give the value to the step in `with:`")
FILES = Reach("files", 'use ctx.tool("read_file", path=...), another tool, or an input of the plan')
NETWORK = Reach("the network", "use ctx.model(...), or ctx.tool(...) with a tool of your own")
PROCESS = Reach("another process", 'use ctx.tool("run", ...), or a step with `run:`')
TASKS = Reach("tasks or threads", "use ctx.gather(...) and ctx.sleep(duration_ms)")
INPUT = Reach("the terminal", "use ctx.approve(...), or an input of the plan")
SETS = Reach("the order of a set", "use sorted(...)")
HASH = Reach("a hash that differs from process to process", "use hashlib, or compare the values")


def _named(reach: Reach, module: str, names: str) -> dict[str, Reach]:
    return {f"{module}.{name}": reach for name in names.split()}


EXACT: Mapping[str, Reach] = {
    **_named(CLOCK, "time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns"),
    **_named(CLOCK, "time", "process_time process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns"),
    **_named(CLOCK, "datetime", "datetime.now datetime.utcnow datetime.today date.today"),
    "time.sleep": WAIT,
    "asyncio.sleep": WAIT,
    **_named(CHANCE, "uuid", "uuid1 uuid4 uuid6 uuid7 uuid8 getnode"),
    "os.urandom": CHANCE,
    "os.getrandom": CHANCE,
    "random.SystemRandom": CHANCE,
    **_named(ENVIRONMENT, "os", "environ environb getenv getenvb putenv unsetenv getpid getppid getcwd chdir"),
    **_named(ENVIRONMENT, "os", "getuid getlogin uname cpu_count process_cpu_count path.expanduser path.expandvars"),
    **_named(ENVIRONMENT, "sys", "argv stdin platform executable"),
    **_named(ENVIRONMENT, "pathlib", "Path.cwd Path.home"),
    **_named(ENVIRONMENT, "getpass", "getuser getpass"),
    **_named(
        FILES, "os", "open read write listdir scandir walk fwalk stat lstat access remove unlink rename replace"
    ),
    **_named(FILES, "os", "mkdir makedirs rmdir removedirs link symlink readlink truncate utime chmod chown"),
    **_named(FILES, "os.path", "exists lexists isfile isdir islink getsize getmtime getctime getatime"),
    **_named(FILES, "os.path", "realpath abspath"),
    **_named(PROCESS, "os", "system popen fork forkpty execv execve execvp execvpe execl execle execlp"),
    **_named(PROCESS, "os", "spawnl spawnv posix_spawn posix_spawnp kill killpg"),
    **_named(FILES, "builtins", "open"),
    **_named(FILES, "io", "open open_code FileIO"),
    **_named(FILES, "codecs", "open"),
    "sqlite3.connect": FILES,
    "builtins.input": INPUT,
    "builtins.hash": HASH,
    **_named(TASKS, "asyncio", "gather create_task ensure_future wait wait_for to_thread run as_completed"),
    **_named(TASKS, "asyncio", "shield run_coroutine_threadsafe timeout timeout_at TaskGroup Runner"),
    **_named(TASKS, "asyncio", "get_event_loop get_running_loop new_event_loop"),
    **_named(
        TASKS,
        "asyncio",
        "Event Queue Lock Semaphore Condition Future Task",
    ),
    **_named(NETWORK, "asyncio", "open_connection open_unix_connection start_server"),
    **_named(PROCESS, "asyncio", "create_subprocess_exec create_subprocess_shell"),
}
"""Whatever uses one of these names, called or handed on, reaches out."""

GROUPS: Mapping[str, Reach] = {
    "random": CHANCE,
    "secrets": CHANCE,
    "platform": ENVIRONMENT,
    "shutil": FILES,
    "tempfile": FILES,
    "glob": FILES,
    "subprocess": PROCESS,
    "multiprocessing": PROCESS,
    "threading": TASKS,
    "concurrent.futures": TASKS,
    "socket": NETWORK,
    "http.client": NETWORK,
    "urllib.request": NETWORK,
    "urllib3": NETWORK,
    "requests": NETWORK,
    "httpx": NETWORK,
    "httpx2": NETWORK,
    "aiohttp": NETWORK,
    "smtplib": NETWORK,
    "ftplib": NETWORK,
    "openai": NETWORK,
    "anthropic": NETWORK,
}
"""Every call into one of these modules reaches out; naming their types and errors does not."""

BARE: Mapping[str, tuple[int, Reach]] = {
    "time.localtime": (1, CLOCK),
    "time.gmtime": (1, CLOCK),
    "time.ctime": (1, CLOCK),
    "time.asctime": (1, CLOCK),
    "time.strftime": (2, CLOCK),
    "random.Random": (1, CHANCE),
}
"""Pure when they are given so many arguments; with fewer they take the rest from the world."""

PATH_READING = frozenset(
    [
        *("absolute", "chmod", "exists", "expanduser", "glob", "is_dir", "is_file", "is_symlink", "iterdir", "lstat"),
        *("mkdir", "open", "read_bytes", "read_text", "readlink", "rename", "replace", "resolve", "rglob", "rmdir"),
        *("samefile", "stat", "touch", "unlink", "walk", "write_bytes", "write_text"),
    ]
)
"""Methods of a `pathlib.Path` that look at the disk."""

PATH_KEEPING = frozenset(
    [
        *("absolute", "expanduser", "joinpath", "relative_to", "resolve"),
        *("with_name", "with_segments", "with_stem", "with_suffix"),
    ]
)
"""What gives another path."""

_HARMLESS = ("Error", "Exception", "Warning", "Expired", "Timeout", "URL", "Headers")
"""Ends of names that make a value and reach nothing."""


def reach_of(dotted: str, *, arguments: int | None) -> Reach | None:
    """What a name reaches; `arguments` is how many a call of it gives, None where it is not called here."""
    parts = dotted.split(".")
    for length in range(2, len(parts) + 1):
        name = ".".join(parts[:length])
        # A type that is only named, as `isinstance` does, makes nothing.
        if name in EXACT and (arguments is not None or not parts[length - 1][0].isupper()):
            return EXACT[name]
    if dotted in BARE:
        wanted, reach = BARE[dotted]
        return reach if arguments is not None and arguments < wanted else None
    if arguments is None or dotted.endswith(_HARMLESS):
        return None
    return next((GROUPS[head] for n in range(1, len(parts)) if (head := ".".join(parts[:n])) in GROUPS), None)

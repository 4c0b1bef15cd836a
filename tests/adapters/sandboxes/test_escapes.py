"""Attempts to leave the sandbox. Each prints ESCAPED if it worked; the host is looked at too where it can tell."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tenuto

pytestmark = [pytest.mark.sandbox, pytest.mark.parametrize("kind", ["bubblewrap", "sandlock"])]

HOME_OF_ROOT = pwd.getpwuid(0).pw_dir

PYTHON = """python - <<'END'
import ctypes, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(function):
    try:
        result = function()
    except (OSError, ValueError):
        return
    if isinstance(result, int) and result < 0:
        return
    print("ESCAPED", result)
%s
END"""

SHELL_ATTEMPTS = {
    "read a file outside": "cat {outside}/secret && echo ESCAPED",
    "list a directory outside": "ls {outside} && echo ESCAPED",
    "read outside through ..": "cat ../outside/secret && echo ESCAPED",
    "read through a symlink": "ln -s {outside}/secret link && cat link && echo ESCAPED",
    "write through a symlink": "ln -s {outside} dir && echo x > dir/secret && echo ESCAPED",
    "write a file outside": "echo x > {outside}/new && echo ESCAPED",
    "replace a file outside": "echo x > {outside}/secret && echo ESCAPED",
    "unlink a file outside": "rm {outside}/secret && echo ESCAPED",
    "rename a file outside": "mv {outside}/secret mine && echo ESCAPED",
    "hard link to a file outside": "ln {outside}/secret hard && echo ESCAPED",
    "hard link to a system file": "ln /etc/passwd hard && echo x >> hard && echo ESCAPED",
    "write to /usr": "echo x > /usr/tenuto-escape && echo ESCAPED",
    "write to /etc": "echo x > /etc/tenuto-escape && echo ESCAPED",
    "write to /": "echo x > /tenuto-escape && echo ESCAPED",
    "read /etc/shadow": "cat /etc/shadow && echo ESCAPED",
    "read /var": "ls /var/lib/dpkg && echo ESCAPED",
    "make a device node": "mknod disk b 8 0 && head -c1 disk && echo ESCAPED",
    "raw disks": "head -c1 /dev/sda /dev/vda /dev/nvme0n1 2>/dev/null | grep -q . && echo ESCAPED",
    "mount": "mkdir m && mount -t tmpfs none m && echo ESCAPED",
    "unmount": "umount /proc && echo ESCAPED",
    "user namespace": "unshare -U true && echo ESCAPED",
    "mount namespace as root": "unshare -Ur --mount true && echo ESCAPED",
    "enter the namespaces of pid 1": "nsenter -t 1 -m -u -i -n -p true && echo ESCAPED",
    "chroot": "mkdir r && chroot r / && echo ESCAPED",
    "setuid program": "grep -q 'NoNewPrivs:.1' /proc/self/status || echo ESCAPED",
    "change the core pattern": "(exec 3>>/proc/sys/kernel/core_pattern) 2>/dev/null && echo ESCAPED",
    "change a kernel setting": "(exec 3>>/proc/sys/vm/drop_caches) 2>/dev/null && echo ESCAPED",
    "sysrq": "(exec 3>>/proc/sysrq-trigger) 2>/dev/null && echo ESCAPED",
    "the engine's environment": "cat /proc/{engine}/environ 2>/dev/null | grep -q . && echo ESCAPED",
    "any process's environment": "grep -q ENGINE_MARK /proc/[0-9]*/environ 2>/dev/null && echo ESCAPED",
    "the root of the engine": "cd /proc/{engine} && ls root/usr && echo ESCAPED",
    "the directory of the engine": "ls -A /proc/{engine}/cwd/ 2>/dev/null | grep -v /proc/ && echo ESCAPED",
    "the descriptors of the engine": "ls /proc/{engine}/fd && cat /proc/{engine}/fd/0 && echo ESCAPED",
    "signal a process outside": "kill -9 {victim} && echo ESCAPED",
    "signal the engine": "kill -0 {engine} && echo ESCAPED",
    "load a module": "modprobe dummy && echo ESCAPED",
    "read through its own root": "cat /proc/self/root{outside}/secret && echo ESCAPED",
    "read through the root of pid 1": "cat /proc/1/root{outside}/secret && echo ESCAPED",
    "the tree replaced by a link": "cd .. && mv tree kept && ln -s {outside} tree && cat tree/secret && echo ESCAPED",
    "a link put in a directory's place": "mkdir d && (cd d && rmdir ../d && ln -s {outside} ../d; cat ../d/secret) "
    "&& echo ESCAPED",
    "a program outside": "{outside}/program && echo ESCAPED",
    "make a file outside readable": "chmod 777 {outside}/secret && echo ESCAPED",
    "give a file outside away": "chown 12345 {outside}/secret && echo ESCAPED",
    "change the times of a file outside": "touch -c -d 2001-01-01 {outside}/secret",  # the file is looked at
    "cut a file outside": "truncate -s 0 {outside}/secret && echo ESCAPED",
    "a pipe outside": "mkfifo {outside}/pipe && echo ESCAPED",
    "a directory outside": "mkdir {outside}/directory && echo ESCAPED",
    "a link outside": "ln -s /etc {outside}/link && echo ESCAPED",
    "the engine's memory": "dd if=/proc/{engine}/mem of=mem bs=1 count=1 skip=4096 2>/dev/null && echo ESCAPED",
    "devices of the kernel": "for d in mem kmem port kmsg fuse kvm net/tun; do "
    "(exec 3</dev/$d) 2>/dev/null && echo ESCAPED; done",
    "control groups": "find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | grep -q . && echo ESCAPED",
    "settings of the kernel in /sys": "(exec 3>>/sys/power/state) 2>/dev/null && echo ESCAPED",
    "services that run containers": "ls /run/docker.sock /run/containerd 2>/dev/null && echo ESCAPED",
    "the keys of people": f"cat {HOME_OF_ROOT}/.ssh/* /home/*/.ssh/* {HOME_OF_ROOT}/.netrc 2>/dev/null | grep -q . "
    "&& echo ESCAPED",
    "tasks of the system": "(exec 3>>/var/spool/cron/crontabs/root) 2>/dev/null && echo ESCAPED",
    "a process left behind": "(setsid sh -c 'trap \"\" TERM HUP; sleep 300' >/dev/null 2>&1 &) ; sleep 0.2",
    "many processes left behind": "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do "
    "(setsid sleep 300 >/dev/null 2>&1 &); done; sleep 0.2",
}

PYTHON_ATTEMPTS = {
    "connect to the host": "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 2))",
    "connect to the internet": "attempt(lambda: socket.create_connection(('1.1.1.1', 53), 2))",
    "send a datagram": "attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))",
    "raw socket": "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno())",
    "packet socket": "attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).fileno())",
    "abstract unix socket": "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0tenuto-{engine}'))",
    "unix socket in a file": "attempt(lambda: socket.socket(socket.AF_UNIX).connect('{outside}/s'))",
    "ptrace a process outside": "attempt(lambda: libc.ptrace(16, {victim}, 0, 0))",
    "pidfd of a process outside": "attempt(lambda: signal.pidfd_send_signal(os.pidfd_open({victim}), 9))",
    "memory of a process outside": "attempt(lambda: os.open('/proc/{victim}/mem', os.O_RDWR))",
    "mount by syscall": "attempt(lambda: libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
    "name the machine": "attempt(lambda: libc.sethostname(b'{hostname}', {hostname_length}))",
    "the session keyring": "attempt(lambda: libc.syscall(250, 0, -3, 1))",
    "performance counters": "attempt(lambda: libc.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0))",
    # Those of its own program, which sandlock gives it, lead nowhere else.
    "descriptors left open": "own = ('/memfd:sandlock-exec', '/usr/lib', '/lib')\n"
    "for n in range(3, 64):\n"
    "    attempt(lambda: -os.readlink('/proc/self/fd/%d' % n).startswith(own) or n)",
    "a file handle": "h = ctypes.create_string_buffer(b'\\x40' + bytes(71))\nattempt("
    "lambda: libc.name_to_handle_at(-100, b'/usr', h, ctypes.byref(ctypes.c_int()), 0))",
    "connect by another transport": "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n"
    "attempt(lambda: s.connect(('127.0.0.1', {port})) or 'mptcp')",
    "connect while sending": "s = socket.socket()\n"
    "attempt(lambda: s.sendto(b'x', 0x20000000, ('127.0.0.1', {port})))",
    "connect by a mapped address": "attempt(lambda: socket.create_connection(('::ffff:127.0.0.1', {port}), 2))",
    "a datagram to the host": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {datagrams}))",
    "a socket of the hypervisor": "attempt(lambda: socket.socket(40, 1).connect((2, 1)) or 'vsock')",
    "ask for a name": "attempt(lambda: socket.getaddrinfo('example.com', 80) and 'resolved')",
    "calls by the ring": "attempt(lambda: libc.syscall(425, 8, ctypes.create_string_buffer(256)))",
    "a program in the kernel": "attempt(lambda: libc.syscall(321, 0, ctypes.create_string_buffer(128), 128))",
    "a descriptor of the engine": "attempt(lambda: libc.syscall(438, os.pidfd_open({engine}), 0, 0))",
    "read a process outside by call": "b = ctypes.create_string_buffer(64)\n"
    "v = (ctypes.c_void_p * 2)(ctypes.addressof(b), 8)\n"
    "attempt(lambda: libc.syscall(310, {victim}, v, 1, v, 1, 0))",
    "limits of a process outside": "import resource\n"
    "attempt(lambda: resource.prlimit({victim}, resource.RLIMIT_CORE, (0, 0)) and 'limits')",
    "the priority of a process outside": "attempt(lambda: os.setpriority(os.PRIO_PROCESS, {victim}, 19) or 'nice')",
    "the processors of a process outside": "attempt(lambda: os.sched_setaffinity({victim}, [0]) or 'affinity')",
    "shared memory of the host": "attempt(lambda: libc.shmget({memory}, 16, 0))",
    "message queues of the host": "attempt(lambda: libc.msgget({memory}, 0))",
    "semaphores of the host": "attempt(lambda: libc.semget({memory}, 1, 0))",
    "the clock": "import time\nattempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()) or 'set')",
    "the terminal": "attempt(lambda: os.open('/dev/tty', os.O_RDWR))",
    "a file swapped with one outside": "open('mine', 'w').close()\n"
    "attempt(lambda: libc.renameat2(-100, b'mine', -100, b'{outside}/secret', 2))",
    "attributes of a file outside": "attempt(lambda: os.setxattr('{outside}/secret', 'user.x', b'1') or 'attribute')",
    "a nameless file outside": "attempt(lambda: os.open('{outside}', os.O_TMPFILE | os.O_RDWR))",
    "a file by its handle": "h = ctypes.create_string_buffer(b'\\x08' + bytes(79))\n"
    "attempt(lambda: libc.open_by_handle_at(os.open('.', os.O_RDONLY), h, 0))",
}


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with aims(tmp_path / "outside") as found:
        yield found


@contextmanager
def aims(outside: Path, user: int | None = None) -> Iterator[dict[str, Any]]:
    """What the attempts aim at, all of the host: files, a port, sockets, shared memory, a process."""
    outside.mkdir()
    (outside / "secret").write_text("SECRET")
    (outside / "program").write_text("#!/bin/sh\nexit 0\n")
    (outside / "program").chmod(0o755)
    if user is not None:
        for own in (outside, *outside.iterdir()):
            os.chown(own, user, user)
    os.utime(outside / "secret", (1_000_000_000, 1_000_000_000))
    before = looked_at(outside / "secret")
    key = 0x7E000000 + os.getpid()
    shared = make_shared(key)
    victim = subprocess.Popen(["sleep", "600"], env={"ENGINE_MARK": "1", "PATH": os.environ["PATH"]}, user=user)
    state = process_state(victim.pid)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.setblocking(False)
    files = socket.socket(socket.AF_UNIX)
    files.bind(str(outside / "s"))
    files.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0tenuto-{os.getpid()}")
    abstract.listen()
    try:
        yield {
            "engine": os.getpid(),
            "hostname": os.uname().nodename,
            "hostname_length": len(os.uname().nodename),
            "datagrams": datagrams.getsockname()[1],
            "memory": key,
            "outside": outside,
            "port": server.getsockname()[1],
            "victim": victim.pid,
        }
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
        assert victim.poll() is None, "a process outside was killed"
        assert process_state(victim.pid) == state, "a process outside was changed"
        assert (outside / "secret").read_text() == "SECRET"
        assert looked_at(outside / "secret") == before, "a file outside was changed"
        assert sorted(path.name for path in outside.iterdir()) == ["program", "s", "secret"]
        for path in ("/usr/tenuto-escape", "/etc/tenuto-escape", "/tenuto-escape"):
            assert not Path(path).exists()
    finally:
        victim.kill()
        victim.wait()
        remove_shared(shared)
        for one in (server, files, abstract, datagrams):
            one.close()


ATTEMPTS = [*SHELL_ATTEMPTS, *PYTHON_ATTEMPTS]


def looked_at(path: Path) -> tuple[object, ...]:
    status = path.stat()
    return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink, os.listxattr(path))


def process_state(pid: int) -> tuple[object, ...]:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return (os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid), limits)


def make_shared(key: int) -> tuple[int, int, int]:
    """Shared memory, a message queue and a semaphore of this machine, open to everybody."""
    libc = ctypes.CDLL(None, use_errno=True)
    mode = 0o1666  # IPC_CREAT, and anybody may use it
    made = (libc.shmget(key, 16, mode), libc.msgget(key, mode), libc.semget(key, 1, mode))
    assert min(made) >= 0
    return made


def remove_shared(made: tuple[int, int, int]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmctl(made[0], 0, None)
    libc.msgctl(made[1], 0, None)
    libc.semctl(made[2], 0, 0)


def holders(mark: str) -> list[int]:
    """Processes of this machine that were given the mark."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return found


def _script(name: str, facts: dict[str, Any]) -> str:
    if name in SHELL_ATTEMPTS:
        return SHELL_ATTEMPTS[name].replace("{outside}", str(facts["outside"])).format_map(_Keep(facts))
    return PYTHON % PYTHON_ATTEMPTS[name].format_map(_Keep(facts))


class _Keep(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def test_there_are_sixty_attempts_and_more(kind: str) -> None:
    assert kind
    assert len(set(ATTEMPTS)) >= 90


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_no_way_out_and_nobody_left(name: str, shell: Any, facts: dict[str, Any]) -> None:
    mark = f"given-{os.getpid()}-{time.monotonic_ns()}"
    result = await shell(_script(name, facts), environment={"GIVEN": mark})
    assert b"ESCAPED" not in result.stdout, (result.stdout, result.stderr)
    assert result.ended == "exit"
    assert not holders(mark)


RUNNER = """
import asyncio, json, os, sys
from tenuto.adapters.sandboxes.finding import find_sandbox
from tenuto.ports.tools import SandboxCommand
async def main():
    given = json.load(sys.stdin)
    sandbox = await find_sandbox(given["kind"])
    for name, script in given["scripts"].items():
        script = script.replace("{engine}", str(os.getpid()))
        ran = await sandbox.run(SandboxCommand(
            argv=("/bin/sh", "-c", script), directory=given["tree"], timeout_us=30_000_000,
            environment={"HOME": "/tmp", "PATH": "/usr/bin:/bin", "GIVEN": given["mark"]}))
        if b"ESCAPED" in ran.stdout or ran.ended != "exit":
            print(name, ran)
    print("all", len(given["scripts"]), os.geteuid())
asyncio.run(main())
"""


def test_nobody_finds_no_way_out_either(kind: str) -> None:
    """The same attempts by an engine that is not root, at files and processes of its own user."""
    nobody, python = 65_534, "/usr/bin/python3"
    if os.geteuid() != 0 or not Path(python).exists():
        pytest.skip("needs root, to become another user, and a Python that others can reach")
    place = Path(tempfile.mkdtemp(prefix="tenuto-nobody-"))
    places = [str(Path(tenuto.__file__).parents[1]), str(Path(msgspec.__file__).parents[1])]
    mark = f"nobody-{os.getpid()}-{time.monotonic_ns()}"
    try:
        place.chmod(0o755)
        subprocess.run([python, "-m", "venv", "--without-pip", place / "venv"], check=True, timeout=60)
        (packages,) = (place / "venv" / "lib").glob("python3*/site-packages")
        (packages / "tenuto.pth").write_text("\n".join(places))
        tree = place / "tree"
        tree.mkdir()
        os.chown(tree, nobody, nobody)
        with aims(place / "outside", nobody) as facts:
            del facts["engine"]
            scripts = {name: _script(name, facts).replace("python -", "python3 -", 1) for name in ATTEMPTS}
            ran = subprocess.run(
                [place / "venv" / "bin" / "python", "-B", "-c", RUNNER],
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                input=json.dumps({"kind": kind, "mark": mark, "scripts": scripts, "tree": str(tree)}),
                capture_output=True,
                text=True,
                timeout=300,
                user=nobody,
                group=nobody,
                extra_groups=[],
                check=False,
            )
        if any(why in ran.stderr for why in ("ModuleNotFoundError", "ImportError", "SandboxUnavailableError")):
            pytest.skip(f"the engine cannot run as another user here: {ran.stderr[-300:]}")
        assert ran.stdout == f"all {len(scripts)} {nobody}\n", ran.stdout + ran.stderr
        assert not holders(mark)
    finally:
        shutil.rmtree(place)


async def test_only_the_given_environment_is_seen(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-engine-secret")
    result = await shell("env", environment={"GIVEN": "yes"})
    names = {line.split("=", 1)[0] for line in result.stdout.decode().splitlines()}
    assert "GIVEN" in names
    assert names <= {"GIVEN", "HOME", "PATH", "PWD", "TMPDIR", "_", "OLDPWD", "SHLVL"}
    assert b"sk-engine-secret" not in result.stdout


async def test_no_value_shows_in_the_process_list_of_the_host(shell: Any) -> None:
    seen: list[bytes] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    seen.append(Path(f"/proc/{pid}/cmdline").read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        await shell("sleep 0.3", environment={"TOKEN": "value-to-hide"})
    finally:
        stop.set()
        watcher.join()
    assert any(b"sleep\x000.3" in line for line in seen)
    assert not any(b"value-to-hide" in line for line in seen)


async def test_the_tree_is_writable_and_programs_work(shell: Any, tree: Path) -> None:
    (tree / "test_it.py").write_text("def test_it():\n    assert 1 + 1 == 2\n")
    result = await shell(
        "echo new > made && python -c 'import sys; print(sys.prefix)' "
        "&& python -m pytest -q -p no:cacheprovider -p no:tenuto test_it.py"  # ours is not installed, but linked
    )
    assert result.exit_code == 0, result
    assert (tree / "made").read_text() == "new\n"
    assert result.stdout.decode().splitlines()[0] == sys.prefix


async def test_granted_paths_are_there_and_no_more(shell: Any, tmp_path: Path) -> None:
    for name in ("given", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    result = await shell(
        f"cat {tmp_path}/given/file; echo x > {tmp_path}/given/file || echo refused; echo y > {tmp_path}/kept/new",
        readable=(str(tmp_path / "given"),),
        writable=(str(tmp_path / "kept"),),
    )
    assert result.stdout == b"givenrefused\n"
    assert (tmp_path / "given" / "file").read_text() == "given"
    assert (tmp_path / "kept" / "new").read_text() == "y\n"


async def test_granted_network_reaches_the_host(shell: Any, facts: dict[str, Any]) -> None:
    result = await shell(PYTHON % PYTHON_ATTEMPTS["connect to the host"].format_map(facts), network=True)
    assert b"ESCAPED" in result.stdout

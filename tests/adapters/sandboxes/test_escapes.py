"""Attempts to leave the sandbox. Each prints ESCAPED if it worked; the host is looked at too where it can tell."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.sandbox, pytest.mark.parametrize("kind", ["bubblewrap", "sandlock"])]

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
    "enter the namespaces of pid 1": "nsenter -t 1 -a true && echo ESCAPED",
    "chroot": "mkdir r && chroot r / && echo ESCAPED",
    "setuid program": "grep -q 'NoNewPrivs:.1' /proc/self/status || echo ESCAPED",
    "change the core pattern": "(exec 3>>/proc/sys/kernel/core_pattern) 2>/dev/null && echo ESCAPED",
    "change a kernel setting": "(exec 3>>/proc/sys/vm/drop_caches) 2>/dev/null && echo ESCAPED",
    "sysrq": "(exec 3>>/proc/sysrq-trigger) 2>/dev/null && echo ESCAPED",
    "the engine's environment": "cat /proc/{engine}/environ 2>/dev/null | grep -q . && echo ESCAPED",
    "any process's environment": "grep -q ENGINE_MARK /proc/[0-9]*/environ 2>/dev/null && echo ESCAPED",
    "the root of the engine": "ls /proc/{engine}/root/ && echo ESCAPED",
    "the directory of the engine": "ls /proc/{engine}/cwd/ && echo ESCAPED",
    "the descriptors of the engine": "ls /proc/{engine}/fd && cat /proc/{engine}/fd/0 && echo ESCAPED",
    "signal a process outside": "kill -9 {victim} && echo ESCAPED",
    "signal the engine": "kill -0 {engine} && echo ESCAPED",
    "load a module": "modprobe dummy && echo ESCAPED",
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
    "descriptors left open": "[attempt(lambda n=n: os.fstat(n) and n) for n in range(3, 64)]",
    "a file handle": "h = ctypes.create_string_buffer(b'\\x40' + bytes(71))\nattempt("
    "lambda: libc.name_to_handle_at(-100, b'/usr', h, ctypes.byref(ctypes.c_int()), 0))",
}


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the attempts aim at: a secret, a listening port, a process, all of the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("SECRET")
    victim = subprocess.Popen(["sleep", "600"], env={"ENGINE_MARK": "1", "PATH": os.environ["PATH"]})
    server = socket.create_server(("127.0.0.1", 0))
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
            "outside": outside,
            "port": server.getsockname()[1],
            "victim": victim.pid,
        }
        assert victim.poll() is None, "a process outside was killed"
        assert (outside / "secret").read_text() == "SECRET"
        assert sorted(path.name for path in outside.iterdir()) == ["s", "secret"]
        for path in ("/usr/tenuto-escape", "/etc/tenuto-escape", "/tenuto-escape"):
            assert not Path(path).exists()
    finally:
        victim.kill()
        victim.wait()
        for one in (server, files, abstract):
            one.close()


def _script(name: str, facts: dict[str, Any]) -> str:
    if name in SHELL_ATTEMPTS:
        return SHELL_ATTEMPTS[name].replace("{outside}", str(facts["outside"])).format_map(_Keep(facts))
    return PYTHON % PYTHON_ATTEMPTS[name].format_map(_Keep(facts))


class _Keep(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


@pytest.mark.parametrize("name", [*SHELL_ATTEMPTS, *PYTHON_ATTEMPTS])
async def test_no_way_out(name: str, shell: Any, facts: dict[str, Any]) -> None:
    result = await shell(_script(name, facts), environment={"GIVEN": "PASSED-VALUE"})
    assert b"ESCAPED" not in result.stdout, (result.stdout, result.stderr)
    assert result.ended == "exit"


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
        "&& python -m pytest -q -p no:cacheprovider test_it.py"
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

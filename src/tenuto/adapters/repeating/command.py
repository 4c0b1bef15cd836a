"""Runs one command so that it gives the same bytes each time: the first program inside a sandbox.

It ends as the command does, and everything that is left of the command ends with it. Where a command cannot be
followed here, it is not run: exit code 125, and the reason as the last line of standard error.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

from tenuto.adapters.repeating.calls import stopping_program
from tenuto.adapters.repeating.chance import Pipes
from tenuto.adapters.repeating.files import Files
from tenuto.adapters.repeating.following import Follower
from tenuto.adapters.repeating.image import refuse_random_addresses
from tenuto.adapters.repeating.process import Process
from tenuto.adapters.repeating.ptrace import seize

__all__ = ["NOT_FOLLOWED", "NOT_FOLLOWED_NOTE", "main", "run"]

NOT_FOLLOWED = 125
NOT_FOLLOWED_NOTE = b"tenuto: the command cannot be followed\n"
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


def main(arguments: Sequence[str]) -> int:
    """`CLOCK NEWEST SEED SCRATCH COMMAND...`: times in seconds since 1970; SEED in hex; SCRATCH for pipes.

    The exit code, 128 + a signal's number where one ended the command.
    """
    clock, newest, seed, scratch, *command = arguments
    try:
        first = _start(command)
        os.mkdir(scratch, 0o700)
    except OSError as error:
        return _not_followed(error)
    process = Process(bytes.fromhex(seed), int(clock) * 10**9)
    status = Follower(first, process, Files(int(newest), int(clock)), Pipes(scratch)).follow()
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _start(command: list[str]) -> int:
    """A process that is followed from before its first program on. OSError where the kernel refuses that."""
    held, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(command, held, go)
    os.close(held)
    seize(pid)
    os.write(go, b"go")
    os.close(go)
    return pid


def _become(command: list[str], held: int, go: int) -> None:
    """In the new process: wait until it is followed, then be the command."""
    try:
        os.close(go)
        if not os.read(held, 2):
            os._exit(NOT_FOLLOWED)
        os.close(held)
        refuse_random_addresses()
        _stop_at_calls()
        os.execvp(command[0], command)
    except FileNotFoundError:
        os.write(2, f"tenuto: {command[0]} is not there\n".encode())
        os._exit(127)
    except OSError as error:
        os._exit(_not_followed(error))
    os._exit(NOT_FOLLOWED)


def _not_followed(error: OSError) -> int:
    os.write(2, f"tenuto: {error.strerror}\n".encode() + NOT_FOLLOWED_NOTE)
    return NOT_FOLLOWED


def _stop_at_calls() -> None:
    program = stopping_program()
    code = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_void_p))

    whole = Filter(len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if not done or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


def run() -> None:
    """The whole program."""
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # Not sys.exit: pipes may still have somebody who writes into them.
    os._exit(code)

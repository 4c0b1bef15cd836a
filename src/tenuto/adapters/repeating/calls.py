"""The system calls at which a followed process stops, by their numbers on x86_64, and the filter that stops it."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = ["Call", "stopping_program"]


class Call(IntEnum):
    open = 2
    stat = 4
    fstat = 5
    lstat = 6
    poll = 7
    select = 23
    nanosleep = 35
    wait4 = 61
    gettimeofday = 96
    getrusage = 98
    sysinfo = 99
    times = 100
    rt_sigtimedwait = 128
    time = 201
    futex = 202
    getdents64 = 217
    timer_settime = 223
    clock_gettime = 228
    clock_nanosleep = 230
    epoll_wait = 232
    waitid = 247
    openat = 257
    newfstatat = 262
    pselect6 = 270
    ppoll = 271
    epoll_pwait = 281
    timerfd_settime = 286
    getrandom = 318
    statx = 332
    epoll_pwait2 = 441


_WITH = {
    Call.futex: 3,
    Call.poll: 2,
    Call.ppoll: 2,
    Call.select: 4,
    Call.pselect6: 4,
    Call.epoll_wait: 3,
    Call.epoll_pwait: 3,
    Call.epoll_pwait2: 3,
    Call.rt_sigtimedwait: 2,
}
"""Those that matter only with a time: the argument that is not 0 then."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _STOP = 0x7FFF0000, 0x7FF00000
_ARGUMENTS = 16


def stopping_program() -> bytes:
    """A seccomp filter that stops a process at these calls for its follower, and lets it go on at all others."""
    program: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]
    for call, argument in _WITH.items():
        place = _ARGUMENTS + 8 * argument
        program += [
            (_EQUAL, 0, 6, call),
            (_LOAD, 0, 0, place),
            (_EQUAL, 0, 2, 0),
            (_LOAD, 0, 0, place + 4),
            (_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _STOP),
            (_RETURN, 0, 0, _ALLOW),
        ]
    for call in Call:
        if call not in _WITH:
            program += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _STOP)]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in program)

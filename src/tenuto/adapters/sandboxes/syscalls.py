"""Seccomp programs: system calls that no command of a step needs.

For bubblewrap those that reach into the kernel. Most are refused for want of capabilities anyway. The keyring calls
are not: a session keyring is inherited, and with it whatever the user's login left there.

For sandlock, which has no process namespace and as root drops no capability, those that reach other processes and
the machine's clock, and transports that its rules for TCP do not see.
"""

from __future__ import annotations

import platform
import struct

__all__ = ["bystander_program", "seccomp_program"]

_REFUSED = {  # name: number on x86_64, number on aarch64
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_CLOCKS_AND_NAMES = {
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
}
_OTHERS: tuple[tuple[tuple[int, int], int, bool, int], ...] = (
    # numbers, argument, whether it is refused where that argument equals the value (else where it differs), value
    ((251, 30), 0, True, 3),  # ioprio_set of a user's processes
    ((251, 30), 1, False, 0),  # ioprio_set of others than the caller
    ((256, 238), 0, False, 0),  # migrate_pages
    ((279, 239), 0, False, 0),  # move_pages
    ((302, 261), 0, False, 0),  # prlimit64
    ((203, 122), 0, False, 0),  # sched_setaffinity
    ((314, 274), 0, False, 0),  # sched_setattr
    ((142, 118), 0, False, 0),  # sched_setparam
    ((144, 119), 0, False, 0),  # sched_setscheduler
    ((141, 140), 0, True, 2),  # setpriority of a user's processes
    ((141, 140), 1, False, 0),  # setpriority of others than the caller
    ((41, 198), 2, True, 132),  # socket of SCTP
    ((41, 198), 2, True, 262),  # socket of MPTCP
)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # EPERM
_OTHER_TABLE = 0x40000000
"""System call numbers of x32 begin here: another way to every call."""


def seccomp_program() -> bytes:
    """The filter as `bwrap --seccomp` reads it; empty on machines whose system call numbers are not known here.

    Calls of another architecture (32-bit programs) are refused altogether, since their numbers differ.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return b""
    column, architecture = known
    numbers = [columns[column] for columns in _REFUSED.values()]
    count = len(numbers)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, count + 3, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, count + 1, 0, _OTHER_TABLE),
        *((_EQUAL, count - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return _packed(program)


def bystander_program() -> bytes:
    """The filter for commands that share a process space with others; empty where the numbers are not known.

    What they do to themselves stays allowed: a pid of 0 means the caller.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return b""
    column, architecture = known
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _OTHER_TABLE),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for columns in _CLOCKS_AND_NAMES.values():
        program += [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, 1, columns[column]), (_RETURN, 0, 0, _REFUSE)]
    for columns, argument, equal, value in _OTHERS:
        # The low half of an argument: all of these are ints.
        program += [
            (_LOAD, 0, 0, _NUMBER),
            (_EQUAL, 0, 3, columns[column]),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
            (_EQUAL, 0 if equal else 1, 1 if equal else 0, value),
            (_RETURN, 0, 0, _REFUSE),
        ]
    return _packed([*program, (_RETURN, 0, 0, _ALLOW)])


def _packed(program: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)

"""What a process can never do again: run programs, become somebody else, touch files it has no business with.

Each measure is for the life of the process, its threads and its children, needs no root and cannot be taken
back.  They do not replace the change of user; they stand behind it, for the day on which somebody makes a
process of ours run code of his own.

- `deny_calls`: system calls that serving mail never needs answer EPERM (seccomp(2)).
- `allow_files`: of the file system only what lies below the named folders exists (landlock(7)).
- `hide_memory`: no other process of the same user reads our memory or traces us (PR_SET_DUMPABLE).

When things fail: `SandboxUnavailable` where the kernel or the processor's architecture does not offer a
measure; nothing is changed then, and the caller decides whether to go on without.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_RET_KILL, _RET_ERRNO, _RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_AT_NUMBER, _AT_ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32 = 0x40000000  # the bit of x86-64's second set of numbers

#: System calls that no process which serves clients or reads mail ever makes: their numbers on x86_64 and
#: aarch64 (asm/unistd_64.h, asm-generic/unistd.h); a dash where there is no such call.
_CALLS = """
    execve              59  221
    execveat           322  281
    ptrace             101  117
    process_vm_readv   310  270
    process_vm_writev  311  271
    mount              165   40
    umount2            166   39
    pivot_root         155   41
    chroot             161   51
    swapon             167  224
    swapoff            168  225
    setuid             105  146
    setgid             106  144
    setreuid           113  145
    setregid           114  143
    setgroups          116  159
    setresuid          117  147
    setresgid          119  149
    setfsuid           122  151
    setfsgid           123  152
    capset             126   91
    unshare            272   97
    setns              308  268
    bpf                321  280
    perf_event_open    298  241
    userfaultfd        323  282
    keyctl             250  219
    add_key            248  217
    request_key        249  218
    init_module        175  105
    finit_module       313  273
    delete_module      176  106
    kexec_load         246  104
    kexec_file_load    320  294
    reboot             169  142
    acct               163   89
    open_by_handle_at  304  265
    io_uring_setup     425  425
    io_uring_enter     426  426
    mknodat            259   33
    pidfd_getfd        438  438
    personality        135   92
    mknod              133    -
    iopl               172    -
    ioperm             173    -
"""
#: By machine: its name for seccomp (linux/audit.h), the number of seccomp(2), its column in the table.
_MACHINES = {"x86_64": (0xC000003E, 317, 1), "aarch64": (0xC00000B7, 277, 2)}

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


class SandboxUnavailable(Exception):
    """The kernel, or what we know of this machine, does not offer a measure; the text says which."""


class Files(IntFlag):
    """What may be done below a folder (linux/landlock.h)."""

    EXECUTE = 1 << 0
    WRITE = 1 << 1
    READ = 1 << 2
    LIST = 1 << 3
    REMOVE_FOLDER = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHARACTER_DEVICE = 1 << 6
    MAKE_FOLDER = 1 << 7
    MAKE_FILE = 1 << 8
    MAKE_SOCKET = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK_DEVICE = 1 << 11
    MAKE_LINK = 1 << 12
    MOVE = 1 << 13  # since version 2: link and rename between folders
    TRUNCATE = 1 << 14  # since version 3

    SEE = READ | LIST
    CHANGE = SEE | WRITE | REMOVE_FOLDER | REMOVE_FILE | MAKE_FOLDER | MAKE_FILE | MAKE_LINK | MOVE | TRUNCATE


#: What each version of Landlock can restrict; what a kernel does not know must not be asked for.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
#: What a rule for a single file may name.
_OF_A_FILE = Files.EXECUTE | Files.WRITE | Files.READ | Files.TRUNCATE


def numbers_for(machine: str) -> dict[str, int]:
    """Return the numbers of the calls that are never needed."""
    column = _MACHINES[machine][2]
    rows = [line.split() for line in _CALLS.split("\n") if line]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def deny_calls() -> None:
    """Have the calls of the table answer EPERM in this process, in all its threads, for good.

    Raises:
        SandboxUnavailable: unknown architecture, or no seccomp.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise SandboxUnavailable(f"system calls are not filtered on {machine}")
    architecture, seccomp, _ = _MACHINES[machine]
    program = _filter(architecture, sorted(numbers_for(machine).values()))
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _forbid_new_privileges()
    answer = _libc.syscall(ctypes.c_long(seccomp), _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, head)
    if answer != 0:
        raise SandboxUnavailable(f"seccomp: {os.strerror(ctypes.get_errno())}")


def _filter(architecture: int, denied: list[int]) -> bytes:
    """Write the program: foreign architectures die, denied numbers answer EPERM, the rest goes on."""
    refused = _statement(_RETURN, _RET_ERRNO | errno.EPERM)
    parts = [
        _statement(_LOAD_WORD, _AT_ARCHITECTURE),
        _jump(_JUMP_EQUAL, architecture, 1, 0),
        _statement(_RETURN, _RET_KILL),
        _statement(_LOAD_WORD, _AT_NUMBER),
        _jump(_JUMP_AT_LEAST, _X32, 0, 1),
        refused,
    ]
    for number in denied:
        parts += [_jump(_JUMP_EQUAL, number, 0, 1), refused]
    return b"".join([*parts, _statement(_RETURN, _RET_ALLOW)])


def _statement(code: int, operand: int) -> bytes:
    return struct.pack("HBBI", code, 0, 0, operand)


def _jump(code: int, operand: int, if_so: int, if_not: int) -> bytes:
    return struct.pack("HBBI", code, if_so, if_not, operand)


def allow_files(allowed: Mapping[str, Files]) -> int:
    """Forbid this thread, and those it will start, every file but some.

    What is open already stays open.  Has to be called before threads are started.

    Args:
        allowed: what may be done below each folder, or with a single file; what is not there, or cannot be
            reached, is left out.

    Returns:
        The version of Landlock, which says how much it restricts.

    Raises:
        SandboxUnavailable: the kernel has no Landlock, or it is switched off.
    """
    version = _libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    if version < 1:
        raise SandboxUnavailable(f"Landlock: {os.strerror(ctypes.get_errno())}")
    known = _KNOWN.get(version, _KNOWN[3])
    handled = struct.pack("Q", known)
    rules = _libc.syscall(ctypes.c_long(_CREATE_RULESET), handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        raise SandboxUnavailable(f"Landlock: {os.strerror(ctypes.get_errno())}")
    try:
        for path, access in allowed.items():
            _add_rule(rules, path, access & known)
        _forbid_new_privileges()
        if _libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(rules), 0) != 0:
            raise SandboxUnavailable(f"Landlock: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(rules)
    return int(version)


def _add_rule(rules: int, path: str, access: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):
                access &= _OF_A_FILE
            rule = struct.pack("=Qi", access, fd)
            if _libc.syscall(ctypes.c_long(_ADD_RULE), ctypes.c_int(rules), _RULE_PATH_BENEATH, rule, 0) != 0:
                raise SandboxUnavailable(f"Landlock: {path}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(fd)


def hide_memory() -> None:
    """Let no process without root read this one's memory, trace it or take its descriptors; no core dumps."""
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise SandboxUnavailable(f"PR_SET_DUMPABLE: {os.strerror(ctypes.get_errno())}")


def _forbid_new_privileges() -> None:
    """Both measures ask for this where root has been given up."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SandboxUnavailable(f"no_new_privs: {os.strerror(ctypes.get_errno())}")

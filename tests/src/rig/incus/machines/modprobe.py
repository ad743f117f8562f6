#!/usr/bin/env python3
"""Stands in for modprobe, for a kernel without vhost_vsock.

Incus makes machines only where that module is; then it listens at the host's vsock address, which the module would bring.
This says that the module is there, and follows the server that asked until it binds that address: it gets any address
instead. Nothing else of the server is touched. A machine's start still fails, for want of /dev/vhost-vsock.
"""

import ctypes
import os
import signal
import struct
import sys

SEIZE, INTERRUPT, LISTEN, SYSCALL, DETACH, GETREGS = 0x4206, 0x4207, 0x4208, 24, 17, 12
# Syscalls are told from signals; forks, vforks, clones and exec are followed.
OPTIONS = 0x01 | 0x02 | 0x04 | 0x08 | 0x10
ALL_THREADS = 0x40000000
BIND, VSOCK, HOST, ANY = 49, 40, 2, 0xFFFFFFFF
# Of x86-64's struct user_regs_struct, in words.
RDX, RSI, ORIG_RAX, WORDS = 12, 13, 15, 27

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def seize(server):
    """All threads, those as well that come meanwhile."""
    known = set()
    while more := {int(thread) for thread in os.listdir(f"/proc/{server}/task")} - known:
        for thread in more:
            if libc.ptrace(SEIZE, thread, None, OPTIONS) == 0:
                libc.ptrace(INTERRUPT, thread, None, None)
        known |= more
    return known


def redirect(thread):
    """Whether the thread is about to bind the host's vsock address; it binds any then."""
    registers = (ctypes.c_ulonglong * WORDS)()
    libc.ptrace(GETREGS, thread, None, ctypes.addressof(registers))
    if registers[ORIG_RAX] != BIND or registers[RDX] != 16:
        return False
    with open(f"/proc/{thread}/mem", "r+b", buffering=0) as memory:
        memory.seek(registers[RSI])
        family, _, _, context = struct.unpack("<HHII", memory.read(12))
        if (family, context) != (VSOCK, HOST):
            return False
        memory.seek(registers[RSI] + 8)
        memory.write(struct.pack("<I", ANY))
    return True


def follow(traced):
    """Until it has bound, or ended."""
    done = False
    while traced:
        thread, status = os.waitpid(-1, ALL_THREADS)
        if not os.WIFSTOPPED(status):
            traced.discard(thread)
            continue
        traced.add(thread)
        stopped_by, event, given = os.WSTOPSIG(status), status >> 16, None
        if stopped_by == signal.SIGTRAP | 0x80:
            if not done and redirect(thread):
                done = True
                for other in traced:
                    libc.ptrace(INTERRUPT, other, None, None)
        elif event == 0:
            given = stopped_by
        if done:
            libc.ptrace(DETACH, thread, None, given)
            traced.discard(thread)
        elif event == 0x80 and stopped_by != signal.SIGTRAP:
            libc.ptrace(LISTEN, thread, None, None)
        else:
            libc.ptrace(SYSCALL, thread, None, given)


def main():
    server = os.getppid()
    try:
        # It asks again when a machine starts.
        os.close(os.open(f"{sys.argv[0]}.{server}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    seized, ready = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(seized)
        traced = seize(server)
        nowhere = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        os.close(ready)
        follow(traced)
        os._exit(0)
    os.close(ready)
    os.read(seized, 1)


if __name__ == "__main__":
    main()

"""What the disk is, how fast it syncs, and how much of it a server uses."""

import ctypes
import os
import time

# Magic numbers of statfs(2) for file systems that live in memory.
MEMORY_FILE_SYSTEMS = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}
KNOWN_FILE_SYSTEMS = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs",
}


class NotADisk(Exception):
    """The folder lies in memory, where a sync costs nothing and a figure means nothing."""


def file_system_of(path):
    """The name of the file system that holds `path`, which must exist."""
    libc = ctypes.CDLL(None, use_errno=True)
    # f_type is the first word of struct statfs on every 64-bit Linux; the rest is not read.
    buffer = (ctypes.c_long * 64)()
    if libc.statfs(os.fsencode(path), ctypes.byref(buffer)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    magic = buffer[0] & 0xFFFFFFFF
    return MEMORY_FILE_SYSTEMS.get(magic) or KNOWN_FILE_SYSTEMS.get(magic) or f"0x{magic:x}"


def refuse_memory(path):
    """Raises NotADisk when `path` lies on a file system in memory; returns its name otherwise."""
    name = file_system_of(path)
    if name in MEMORY_FILE_SYSTEMS.values():
        raise NotADisk(f"{path} is on {name}; give --dir a folder on a real disk")
    return name


def sync_probe(folder, writes=200, size=4096):
    """p50 and p99 in ms of a `size` byte overwrite plus fdatasync in `folder`."""
    path = os.path.join(folder, "sync-probe")
    block = os.urandom(size)
    took = []
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        # Written once before, so that the timed writes commit no metadata.
        os.write(handle, block * 16)
        os.fsync(handle)
        for i in range(writes):
            begin = time.perf_counter()
            os.pwrite(handle, block, (i % 16) * size)
            os.fdatasync(handle)
            took.append((time.perf_counter() - begin) * 1e3)
    finally:
        os.close(handle)
        os.unlink(path)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def sync_ages(folder, seconds, period, size=4096, span=16 << 20):
    """Sorted ages in ms of events that come every `period` seconds and are durable with the next overwrite of `size` bytes and
    its fdatasync: what the disk alone makes anybody wait who syncs before telling."""
    path = os.path.join(folder, "sync-probe")
    block, ages = os.urandom(size), []
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        os.write(handle, bytes(span))
        os.fsync(handle)
        start, told, writes = time.monotonic(), 0, 0
        while told * period < seconds:
            due = min(int((time.monotonic() - start) / period) + 1, int(seconds / period) + 1)
            if due == told:
                time.sleep(max(0, start + told * period - time.monotonic()))
                continue
            os.pwrite(handle, block, writes * size % span)
            os.fdatasync(handle)
            writes, now = writes + 1, time.monotonic()
            ages.extend((now - start - number * period) * 1e3 for number in range(told, due))
            told = due
    finally:
        os.close(handle)
        os.unlink(path)
    return sorted(ages)


def used_bytes(folder):
    """Bytes allocated on disk below `folder`; a file with two names counts once."""
    total = 0
    seen = set()
    for base, folders, files in os.walk(folder):
        for name in files + folders:
            try:
                entry = os.lstat(os.path.join(base, name))
            except FileNotFoundError:
                continue  # a server at work removes files
            if (entry.st_dev, entry.st_ino) not in seen:
                seen.add((entry.st_dev, entry.st_ino))
                total += entry.st_blocks * 512
    return total

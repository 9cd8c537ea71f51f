"""How much memory: what the user said, what the machine has."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_size(size: str | int) -> int:
    """Bytes from "2GB", "512 MiB", "1.5e9" or a number; InputError otherwise."""
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{0,9})?(?:[eE][0-9]{1,2})?) *([A-Za-z]*)", str(size).strip())
    if isinstance(size, bool) or not match or match[2].upper() not in _UNITS:
        raise InputError(
            f"{str(size)[:40]!r} is not an amount of memory; say it like '2GB', '512MB' or a number of bytes"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def show_size(size: float) -> str:
    """Bytes for people: "2.1 GB"."""
    for unit in ("TB", "GB", "MB", "kB"):
        step = _UNITS[unit.upper()]
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:.0f} bytes"


def available_memory() -> int:
    """Bytes that can be taken now without swapping: the system's word, and a container's limit where there is one."""
    found = [_linux(), _container()]
    known = [each for each in found if each is not None]
    return min(known) if known else _physical() // 2


def _linux() -> int | None:
    try:
        match = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def _container() -> int | None:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
        return max(int(limit) - int(used), 0)
    except (OSError, ValueError):  # no such files, or "max"
        return None


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, a browser
        return 4 * 10**9

"""The machine and its processes, as the kernel tells of them. Reads; changes nothing."""

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def words() -> str:
    """The machine in a few words."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {total:.0f} GiB, {platform.system()} {platform.release()}"


def cpu_seconds(stat: str, ticks: int) -> float:
    """User and system time, from /proc/PID/stat; ticks: of the clock in a second."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / ticks


def machine_seconds(stat: str, ticks: int) -> float:
    """What all processes of the machine used, from /proc/stat."""
    user, nice, system, _idle, _waits, irq, softirq, *_ = map(int, stat.splitlines()[0].split()[1:])
    return (user + nice + system + irq + softirq) / ticks


def mebibytes(status: str, field: str) -> float:
    """A field such as VmHWM of /proc/PID/status."""
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def family(pid: int) -> list[int]:
    """The process and all that it started, and these started, and that live."""
    found = [pid]
    for parent in found:  # grows meanwhile
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # ended meanwhile
                found += map(int, task.read_text().split())
    return found

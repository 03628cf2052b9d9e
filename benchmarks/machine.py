"""What the figures were measured on. A figure without its machine says nothing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = ("marsad", "openvino", "bentoml", "tokenizers", "numpy", "torch", "transformers")
# Instruction sets that decide which kernels run, as Linux spells them.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
# Above this load for each core, something else was running and the figures are too low.
_BUSY = 0.5


def describe_machine() -> dict[str, Any]:
    """`load` is the machine's mean number of running processes over the last minute, before the benchmark adds to it."""
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name, flags = _processor()
    return {
        "processor": name,
        "cores": cores,
        "instructions": [flag for flag in _FLAGS if flag in flags],
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": _versions(),
        "load": round(load, 2),
        "busy": load > _BUSY * cores,
    }


def machine_lines(machine: dict[str, Any], *, timed: bool = True) -> list[str]:
    """The machine as the opening lines of a report; its load only where time was measured."""
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    lines = [
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['instructions'])}), "
        f"{machine['memory_gb']} GB; {machine['system']}, Python {machine['python']}; {libraries}",
    ]
    if timed:
        lines.append(f"Load before the run: {machine['load']}")
    if timed and machine["busy"]:
        lines.append("**The machine was busy with something else, which slows the ways unequally: no figure here holds.**")
    return lines


def _processor() -> tuple[str, set[str]]:
    """Name and flags from /proc/cpuinfo; where there is none (macOS), what Python knows, and no flags."""
    source = Path("/proc/cpuinfo")
    if not source.is_file():
        return platform.processor() or platform.machine(), set()
    found: dict[str, str] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found.get("model name", platform.machine()), set(found.get("flags", found.get("Features", "")).split())


def _versions() -> dict[str, str]:
    """Those that are installed: serving measures without torch."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

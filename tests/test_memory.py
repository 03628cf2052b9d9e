import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from training.memory import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else True
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(6_000_000)  # 48 MB, which glibc maps anew each time by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    def run(mode: str) -> tuple[bool, int]:
        out = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True).stdout.split()
        return out[0] == "True", int(out[1])

    kept, faults = run("keep")
    assert kept
    assert faults < run("leave")[1] / 10

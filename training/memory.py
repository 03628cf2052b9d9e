"""How the C library gives memory back."""

import ctypes
import sys

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed instead of handing it back to the kernel; True if that was done.

    A step frees and asks again for hundreds of buffers of megabytes. By default each is mapped anew, and the kernel
    zeroes it page by page (a test counts the faults).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in wanted)

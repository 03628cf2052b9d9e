"""OpenVINO as training and serving import it: without its report.

`import openvino` on its own tells Google Analytics of the import, by its package openvino_telemetry, and keeps an id of
the user in `~/intel`. There is no variable that forbids it. Where that package cannot be imported OpenVINO takes an empty
one of its own, so it is made so here, before OpenVINO is first imported.
"""

import sys
from functools import cache

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes an import of it fail

import openvino as ov  # noqa: E402

__all__ = ["core", "ov"]


@cache
def core() -> ov.Core:
    """The one core of the process. Its CPU plugin gives the thread that loads it another stack for signals, as large as AMX
    wants it, and takes the wrong one back when of several cores the first has gone: the next signal then ends the process."""
    return ov.Core()

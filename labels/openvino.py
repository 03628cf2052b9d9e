"""OpenVINO as training and serving import it: without its report.

`import openvino` on its own tells Google Analytics of the import, by its package openvino_telemetry, and keeps an id of
the user in `~/intel`. There is no variable that forbids it. Where that package cannot be imported OpenVINO takes an empty
one of its own, so it is made so here, before OpenVINO is first imported.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes an import of it fail

import openvino as ov  # noqa: E402

__all__ = ["ov"]

"""ONNX Runtime as training and serving import it: without its report.

Since 1.29 the wheels for Linux and macOS tell Microsoft of the process, of each session and of the graph it loads, and keep
an id of the machine in `~/.cache/Microsoft`. The first event goes before any call can forbid it; the variable below does, if
it is set before onnxruntime is first imported. On Windows, where the variable says nothing, the call is what there is.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

ort.disable_telemetry_events()

__all__ = ["ort"]

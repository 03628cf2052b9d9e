"""Whoever wants to know how long reading takes, and where."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from serving.scheduler import Pass


class Watch:
    """Told how long each stage took, in seconds of one thread, and of each pass of the graph, on the threads they ran on."""

    def stage(self, name: str, seconds: float) -> None: ...

    def ran(self, done: Pass) -> None: ...

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """What runs within is one run of the stage; one that raises is not counted."""
        began = time.perf_counter()
        yield
        self.stage(stage, time.perf_counter() - began)

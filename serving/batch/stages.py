"""Where the time of a run went."""

import threading
from collections import Counter

from serving.scheduler import Pass
from serving.watch import Watch


class StageTimes(Watch):
    """Seconds of one thread by stage, of all threads together. `take` gives what came since it was last called."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()
        self._adding = threading.Lock()

    def stage(self, name: str, seconds: float) -> None:
        with self._adding:
            self._seconds[name] += seconds  # type: ignore[assignment]

    def ran(self, done: Pass) -> None:
        self.stage("graph", done.seconds)

    def take(self) -> Counter[str]:
        with self._adding:
            taken, self._seconds = self._seconds, Counter()
        return taken

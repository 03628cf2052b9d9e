"""The model that answers, and how another takes its place while requests come in."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labels.errors import MarsadError
from labels.folder import ModelFolder
from labels.types import Document, Failure
from serving.analyzer import Analyzer
from serving.engine import Engine
from serving.errors import EngineError
from serving.metrics import Metrics
from serving.settings import Settings
from serving.thresholds import parse_thresholds

logger = logging.getLogger(__name__)

_WARM_UP = Document("warm-up", "قال مصدر في المدينة اليوم.")


class CurrentModel:
    """Opened when made. MarsadError where the folder that the settings name cannot be served."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._users: dict[Analyzer, int] = {}
        self._counting = threading.Lock()
        self._reloading = asyncio.Lock()
        self.analyzer = self._open()

    @contextmanager
    def in_use(self) -> Iterator[Analyzer]:
        """The analyzer of the moment, which stays until the caller is done with it."""
        with self._counting:
            analyzer = self.analyzer
            self._users[analyzer] = self._users.get(analyzer, 0) + 1
        try:
            yield analyzer
        finally:
            with self._counting:
                self._users[analyzer] -= 1
                last = not self._users[analyzer]
                if last:
                    del self._users[analyzer]
            if last and analyzer is not self.analyzer:
                self._retire(analyzer)

    async def reload(self) -> bool:
        """Open the settings' folder again, which may be another one by now, and answer with it from then on. A folder that
        cannot be served is logged, and the one before goes on: False."""
        async with self._reloading:
            try:
                opened = await asyncio.to_thread(self._open)
            except Exception as error:
                # What is not ours to foresee is no reason to end: the model of before is there.
                trace = None if isinstance(error, MarsadError) else error
                logger.error(
                    "the model was not reloaded, %s goes on: %s", self.analyzer.engine.folder.id, error, exc_info=trace
                )
                self._metrics.reloads.labels("no").inc()
                return False
            with self._counting:
                before, self.analyzer = self.analyzer, opened
                idle = before not in self._users
            self._metrics.reloads.labels("yes").inc()
            if idle:
                self._retire(before)
            return True

    def _open(self) -> Analyzer:
        settings = self._settings
        folder = ModelFolder.open(settings.model)
        engine = Engine(folder, device=settings.device, threads=settings.threads or None, precision=settings.precision)
        thresholds = parse_thresholds(settings.thresholds, folder.schema.event_types, "MARSAD_THRESHOLDS")
        analyzer = Analyzer(engine, max_characters=settings.max_characters, thresholds=thresholds, watch=self._metrics)
        [answer] = analyzer.analyze([_WARM_UP])
        if isinstance(answer, Failure):
            analyzer.close()
            raise EngineError(f"{settings.model}: the model did not answer at warm-up: {answer.message}")
        self._metrics.serve_model(folder.id, engine.precision)
        logger.info("%s is ready, in %s", folder.id, engine.precision)
        return analyzer

    def _retire(self, analyzer: Analyzer) -> None:
        """On a thread: its own threads end first."""
        logger.info("%s is no longer in use", analyzer.engine.folder.id)
        threading.Thread(target=analyzer.close, name="marsad-retire").start()

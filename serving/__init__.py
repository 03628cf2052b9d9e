"""Reads a model folder and answers. From Python (docs/python.md):

from serving import Analyzer, Document

with Analyzer.open() as analyzer:
    answers = analyzer.analyze([Document("d1", "…")])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labels.types import Document, Failure, Prediction
    from serving.analyzer import Analyzer

__all__ = ["Analyzer", "Document", "Failure", "Prediction"]

_HOMES = {"Analyzer": "serving.analyzer", "Document": "labels.types", "Failure": "labels.types", "Prediction": "labels.types"}

if not TYPE_CHECKING:  # type checkers would take any name for one of this module

    def __getattr__(name: str) -> Any:
        """Imported when asked for: `import serving.errors` comes through here and wants no engine."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)

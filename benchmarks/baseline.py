"""The same model as a plain script would run it: torch and transformers in 32 bits, with the weights of the model
folder. Needs torch; nothing else in the benchmarks imports it before asking for a baseline."""

from collections.abc import Sequence

import torch

from labels.folder import ModelFolder
from labels.sentences import split_sentences
from labels.types import Annotation, Document, Prediction, Span
from training.data import load_tokenizer
from training.model import load_joint
from training.predict import decode_sentence, score_sentences


class PlainTorch:
    """`batch_rows` 1 reads one sentence at a time; more reads that many rows of like length together, over all
    documents of a call."""

    def __init__(self, folder: ModelFolder, *, batch_rows: int, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.schema, self.rules, self.manifest = folder.schema, folder.rules, folder.manifest
        self.batch_rows = batch_rows
        self.model = load_joint(folder.path, n_tags=len(self.schema.tags), n_types=len(self.schema.event_types))
        self.tokenizer = load_tokenizer(str(folder.path))

    def run(self, documents: Sequence[Document]) -> list[tuple[int, Span, Prediction]]:
        """The document's index, the sentence and what was read in it, with offsets that count from its start."""
        sentences = [(i, span) for i, document in enumerate(documents) for span in split_sentences(document.text)]
        texts = [span.of(documents[i].text) for i, span in sentences]
        calls = [[text] for text in texts] if self.batch_rows == 1 else [texts]
        window, overlap = self.manifest.window, self.manifest.overlap
        predictions = [
            decode_sentence(Annotation("", text), scores, self.schema, self.rules)
            for call in calls
            for text, scores in zip(
                call,
                score_sentences(self.model, self.tokenizer, call, window=window, overlap=overlap, batch_rows=self.batch_rows),
                strict=True,
            )
        ]
        return [(i, span, prediction) for (i, span), prediction in zip(sentences, predictions, strict=True)]

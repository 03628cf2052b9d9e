"""What mending is worth: names under a tokenizer that leaves proclitics on them, with border scores and without.
`python -m benchmarks.borders --gold dev.jsonl --run RUN` measures a finished run of `marsad train`;
`python -m benchmarks.borders --gold dev.jsonl --train train.jsonl` first trains a small encoder that has read nothing
else, with a WordPiece tokenizer as AraBERT's: a floor, as no pre-trained base knows less."""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labels.borders import name_starts
from labels.decode import DecodingRules, mend_start
from labels.iob import encode_tags
from labels.schema import DEFAULT_SCHEMA, LabelSchema, load_schema
from labels.types import Annotation, Span


@dataclass(frozen=True)
class Borders:
    """`glued` names have proclitics in their first piece, of which `mended` are told exactly; `bare` ones have none, but
    their first piece begins with such letters, and `kept` of these are left alone. Both are asked at the gold's pieces.
    `with_mending` and `without` are strict micro F1 of all names as decoded."""

    names: int
    glued: int
    mended: int
    bare: int
    kept: int
    with_mending: float
    without: float

    def __str__(self) -> str:
        return (
            f"{self.names} names; {self.glued} begin inside a piece, {self.mended} of them mended exactly; {self.bare} more "
            f"begin with letters that could be proclitics, {self.kept} of them left alone; strict micro F1 "
            f"{100 * self.with_mending:.1f}, without border scores {100 * self.without:.1f}"
        )


def measure(run: Path, gold: Sequence[Annotation], schema: LabelSchema, window: int, overlap: int) -> Borders:
    """Read the gold sentences with the model of `run`."""
    from training.data import load_tokenizer
    from training.metrics import evaluate
    from training.model import load_joint
    from training.predict import decode_sentence, score_sentences

    tokenizer = load_tokenizer(str(run))
    model = load_joint(run, n_tags=len(schema.tags), n_types=len(schema.event_types))
    scores = score_sentences(model, tokenizer, [a.text for a in gold], window=window, overlap=overlap)
    counts = {"glued": 0, "mended": 0, "bare": 0, "kept": 0}
    for annotation, sentence in zip(gold, scores, strict=True):
        offsets, text = sentence.offsets, annotation.text
        for piece, letters in encode_tags(annotation.entities, offsets, text).borders.items():
            starts = name_starts(offsets[piece], text)
            if len(starts) > 1:
                span = Span(*offsets[piece])
                found = span if sentence.borders is None else mend_start(span, offsets[piece], sentence.borders[piece], text)
                counts["glued" if letters else "bare"] += 1
                counts["mended" if letters else "kept"] += found.start == starts[letters]

    def f1(*, mending: bool) -> float:
        read = scores if mending else [replace(each, borders=None) for each in scores]
        predicted = {a.id: decode_sentence(a, s, schema, DecodingRules()) for a, s in zip(gold, read, strict=True)}
        labels, types = schema.entity_labels, schema.event_types
        result = evaluate(gold, predicted, entity_labels=labels, event_types=types, rounds=0)
        return result.entities["micro"].f1.value

    names = sum(len(a.entities) for a in gold)
    return Borders(names, **counts, with_mending=f1(mending=True), without=f1(mending=False))


def fresh_base(folder: Path, texts: Sequence[str], *, seed: int) -> Path:
    """A BERT of 2 layers of 128 with random weights, and a WordPiece tokenizer of 8,000 pieces learnt from `texts`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, BertTokenizer, set_seed

    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=False)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    learner.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=8000, special_tokens=specials, show_progress=False))
    tokenizer = BertTokenizer(vocab=learner.get_vocab(), do_lower_case=False)
    set_seed(seed)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=Path, nargs="+", required=True, help="gold JSONL to measure on")
    parser.add_argument("--schema", type=Path, default=DEFAULT_SCHEMA)
    parser.add_argument("--window", type=int, default=126)
    parser.add_argument("--overlap", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of a finished run")
    source.add_argument("--train", type=Path, nargs="+", help="gold JSONL to train a fresh encoder from")
    given = parser.parse_args(arguments)

    from training.data import load_gold
    from training.finetune import train
    from training.train_config import TrainConfig

    schema = load_schema(given.schema)
    gold = load_gold(given.gold, schema)
    with tempfile.TemporaryDirectory() as temporary:
        run = given.run or Path(temporary) / "run"
        if given.train:
            base = fresh_base(Path(temporary) / "base", [a.text for a in load_gold(given.train, schema)], seed=given.seed)
            config = TrainConfig(
                base=str(base),
                output=run,
                train=tuple(map(str, given.train)),
                dev=tuple(map(str, given.gold)),
                schema=given.schema,
                epochs=given.epochs,
                patience=given.epochs,
                learning_rate=1e-3,
                window=given.window,
                overlap=given.overlap,
                seed=given.seed,
            )
            print(train(config).alignment.summary())
        print(measure(run, gold, schema, given.window, given.overlap))


if __name__ == "__main__":
    main()

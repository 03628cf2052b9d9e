"""Real things at toy size: a tokenizer learnt from a few sentences and a 2-layer BERT, built in code in a second."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertModel

from labels.inline import parse_inline
from labels.records import annotation_record
from labels.schema import LabelSchema, load_schema
from labels.types import Annotation
from training.tokenizer import SPECIAL_PIECES, save_tokenizer, train_tokenizer
from training.train_config import TrainConfig

INLINE = (
    "شن [a1 سلاح الجو العراقي] {airstrike agents=a1 targets=a2 locations=l1|غارات جوية} على مواقع ل[a2 داعش] في [l1 الموصل].",
    "{armed_clash agents=a1,a2 locations=l1|اشتباكات} بين [a1 الجيش الليبي] و[a2 مسلحي القبائل] في [l1 سرت] و[l2 بنغازي].",
    "قال وزير المالية إن أسعار القمح ارتفعت في [l1 تونس] هذا العام.",
    "سقطت {shelling locations=l1|قذائف هاون} على حي [l1 الميدان] ب[l2 دمشق] ولم تقع إصابات.",
    "{protest locations=l1|تظاهر} مئات المعلمين أمام مقر [a1 وزارة التربية] في [l1 عمّان].",
    "أعلنت [a1 وكالة الأنباء] أن المطر سيهطل على [l1 المديـــنة المنورة] غداً 😀.",
)


def gold(schema: LabelSchema | None = None, inline: tuple[str, ...] = INLINE) -> list[Annotation]:
    schema = schema or load_schema()
    return [parse_inline(line, schema, id=f"t{i}", doc=f"d{i}") for i, line in enumerate(inline)]


def write_gold(path: Path, annotations: list[Annotation]) -> Path:
    lines = [json.dumps(annotation_record(a), ensure_ascii=False) for a in annotations]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_tokenizer() -> Tokenizer:
    """The same at every call, as one that is trained is not: the trainer breaks ties by chance. Words of up to six letters
    are a piece, longer ones are spelt."""
    texts = [a.text for a in gold()]
    tokenizer = train_tokenizer(texts, vocab_size=400, min_frequency=1)
    words = {
        word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    }
    letters = {letter for word in words for letter in word}
    pieces = [*SPECIAL_PIECES, *sorted(letters | {f"##{letter}" for letter in letters} | {w for w in words if len(w) <= 6})]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer.model = models.WordPiece(vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=64)
    return tokenizer


def tiny_encoder(folder: Path, *, positions: int = 64) -> Path:
    """A BERT of hidden width 32 that `AutoModel` and `AutoTokenizer` load from `folder`."""
    torch.manual_seed(7)
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=positions,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    save_tokenizer(tokenizer, folder, positions)
    return folder


def tiny_config(root: Path, **changes: Any) -> TrainConfig:
    """A run in `root/run` on the tiny encoder and gold, which are made there; `data:gold.jsonl` is that gold too."""
    tiny_encoder(root / "encoder")
    file = write_gold(root / "gold.jsonl", gold())
    files = (str(file),)
    values: dict[str, Any] = {
        "train": files,
        "dev": files,
        "batch_rows": 3,
        "learning_rate": 4e-3,
        "window": 60,
        "overlap": 10,
    } | changes
    return TrainConfig(base=str(root / "encoder"), output=root / "run", **values)

"""A tiny model folder made in code, whose answers can be told beforehand: each piece id has its own row of tag scores,
and an event type is scored by the pieces a row holds."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from labels.decode import DecodingRules
from labels.folder import (
    BORDER_SCORES,
    EVENT_SCORES,
    GRAPH,
    INPUT_IDS,
    INPUT_MASK,
    SCHEMA,
    TAG_SCORES,
    TOKENIZER,
    Manifest,
    ModelFolder,
    write_manifest,
    write_rules,
)
from labels.openvino import ov
from labels.schema import LabelSchema, parse_schema

ops = ov.opset13

SCHEMA_TEXT = """
name = "tiny"
[[entity]]
name = "ACTOR"
gloss_ar = "فاعل"
[[entity]]
name = "LOCATION"
[[event]]
name = "airstrike"
gloss_ar = "غارة جوية"
[[event]]
name = "protest"
[[role]]
name = "agents"
labels = ["ACTOR"]
[[role]]
name = "locations"
labels = ["LOCATION"]
"""

ENTITIES_ONLY = '[[entity]]\nname = "ACTOR"\n[[entity]]\nname = "LOCATION"\n'
EVENTS_ONLY = '[[event]]\nname = "airstrike"\n[[event]]\nname = "protest"\n'

TAG_OF = {
    "داعش": "B-ACTOR",
    "الجيش": "B-ACTOR",
    "الليبي": "I-ACTOR",
    "الموصل": "B-LOCATION",
    "بنغازي": "B-LOCATION",
    "mosul": "B-LOCATION",
}
# Whole words of a tokenizer that leaves proclitics on them: tag, and letters before the name.
GLUED = {"لداعش": ("B-ACTOR", 1), "وبنغازي": ("B-LOCATION", 1), "ولداعش": ("B-ACTOR", 2), "للجيش": ("B-ACTOR", 1)}
EVENT_OF = {"غارة": "airstrike", "تظاهرة": "protest"}
WORDS = ["في", "على", "شنت", "طائرات", "مدينة", "و", "ف", "ب", "ك", "ل", "قال", "1", ".", "،", ":", "(", ")", "the", "city"]

WINDOW, OVERLAP = 16, 4
EVENT_LOGIT = 3.0  # of a type whose word is in the row; -3 without


def make_folder(
    path: Path, schema_text: str = SCHEMA_TEXT, name: str = "tiny", *, glued: bool = False, letters: int = 4
) -> ModelFolder:
    """Write a complete folder to `path` and open it. With `glued` its tokenizer leaves proclitics on words, and its
    graph gives border scores for counts below `letters`."""
    path.mkdir(parents=True, exist_ok=True)
    schema = parse_schema(schema_text)
    tokenizer = make_tokenizer(glued=glued)
    tokenizer.save(str(path / TOKENIZER))
    (path / SCHEMA).write_text(schema_text, encoding="utf-8")
    ov.save_model(make_graph(tokenizer, schema, letters=letters if glued else 0), path / GRAPH, compress_to_fp16=False)
    thresholds = dict.fromkeys(schema.event_types, 0.5)
    write_rules(path, DecodingRules(thresholds))
    write_manifest(path, Manifest(name, schema.fingerprint, WINDOW, OVERLAP, base="none"))
    return ModelFolder.open(path)


def make_tokenizer(*, glued: bool = False) -> Tokenizer:
    """Whole words of the lists above, single Arabic letters, and [UNK]."""
    letters = [chr(c) for c in range(0x0621, 0x064B) if c != 0x0640]
    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *TAG_OF, *EVENT_OF, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    listed += GLUED if glued else ()
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(listed))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=64))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex("[\u064b-\u065f\u0670\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"), ""),
            normalizers.Lowercase(),
        ]
    )
    proclitics = [
        pre_tokenizers.Split(Regex(r"\A[\u0648\u0641](?=\p{L}{3,})"), "isolated"),
        pre_tokenizers.Split(Regex(r"\A[\u0628\u0643\u0644](?=\p{L}{3,})"), "isolated"),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), *(() if glued else proclitics)])
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    return tokenizer


def make_graph(tokenizer: Tokenizer, schema: LabelSchema, letters: int = 0) -> ov.Model:
    """Tag scores look a piece's row up, and so do border scores where `letters` is not 0. Event scores are the highest
    over the pieces that the mask lets through; padding would raise every type, so a mask that is not heeded is seen."""
    size = tokenizer.get_vocab_size()
    ids = ops.parameter([-1, -1], np.int64, name=INPUT_IDS)
    mask = ops.parameter([-1, -1], np.int64, name=INPUT_MASK)
    for node, name in ((ids, INPUT_IDS), (mask, INPUT_MASK)):
        node.output(0).set_names({name})
    outputs = []
    if schema.tags:
        outputs.append((TAG_SCORES, ops.gather(ops.constant(tag_table(tokenizer, schema, letters)), ids, ops.constant(0))))
    if letters:
        table = np.zeros((size, letters), dtype=np.float32)
        for piece, (_, count) in GLUED.items():
            table[tokenizer.token_to_id(piece), min(count, letters - 1)] = 5.0
        outputs.append((BORDER_SCORES, ops.gather(ops.constant(table), ids, ops.constant(0))))
    if schema.event_types:
        table = np.full((size, len(schema.event_types)), -EVENT_LOGIT, dtype=np.float32)
        table[tokenizer.token_to_id("[PAD]")] = 9.0
        for piece, kind in EVENT_OF.items():
            if kind in schema.event_types:
                table[tokenizer.token_to_id(piece), schema.event_types.index(kind)] = EVENT_LOGIT
        rows = ops.gather(ops.constant(table), ids, ops.constant(0))
        away = ops.multiply(ops.subtract(ops.convert(mask, "f32"), np.float32(1)), np.float32(1000))
        seen = ops.add(rows, ops.unsqueeze(away, ops.constant(2)))
        outputs.append((EVENT_SCORES, ops.reduce_max(seen, ops.constant(1))))
    for name, node in outputs:
        node.output(0).set_names({name})
    return ov.Model([ops.result(node, name=name) for name, node in outputs], [ids, mask], "tiny")


def tag_table(tokenizer: Tokenizer, schema: LabelSchema, letters: int) -> npt.NDArray[np.float32]:
    """`(pieces, tags)`."""
    table = np.zeros((tokenizer.get_vocab_size(), len(schema.tags)), dtype=np.float32)
    table[:, 0] = 2.0
    for piece, tag in (TAG_OF | ({piece: tag for piece, (tag, _) in GLUED.items()} if letters else {})).items():
        if tag in schema.tags:
            table[tokenizer.token_to_id(piece), schema.tags.index(tag)] = 6.0
    return table

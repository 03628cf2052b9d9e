"""Train the WordPiece tokenizer whose pieces carry exact entity borders.

Arabic writes و ف ب ك ل onto the next word, and a name's border then lies inside a word (`لداعش` holds `داعش`).
The pre-tokenizer here always splits these letters off, so that a piece never straddles the border, and `داعش`
is one piece in all its forms. It also splits the first letter of words where it is a radical (`ب|غداد`): the
split is by rule, not by sense, and the encoder learns the rest.

Normalisation (diacritics, tatweel, invisible marks, alef forms, digits) happens inside the tokenizer, which keeps
offsets into the untouched text; nothing outside it may change the text.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from labels.errors import ConfigError

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Harakat, superscript alef, Quranic signs, tatweel; zero-width and bidirectional marks.
DIACRITICS = "[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u08d3-\u08ff\u0640]"
INVISIBLE = "[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
ALEFS = "[\u0622\u0623\u0625\u0671-\u0673]"

FIRST_PROCLITIC = r"\A[\u0648\u0641](?=\p{L}{3,})"  # wa-, fa-
SECOND_PROCLITIC = r"\A[\u0628\u0643\u0644](?=\p{L}{3,})"  # bi-, ka-, li-


def normalizer() -> normalizers.Normalizer:
    """Compatibility forms, marks removed, alef forms, Persian letters and digits folded, Latin lower-cased."""
    folds = [("\u06cc", "\u064a"), ("\u06a9", "\u0643")]
    folds += [(chr(zero + i), str(i)) for zero in (0x0660, 0x06F0) for i in range(10)]
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(DIACRITICS), ""),
            normalizers.Replace(Regex(INVISIBLE), ""),
            normalizers.Replace(Regex(ALEFS), "\u0627"),
            *(normalizers.Replace(old, new) for old, new in folds),
            normalizers.Lowercase(),
        ]
    )


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Words, punctuation and digit runs apart; then one proclitic of each class cut off the front of a word."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex(FIRST_PROCLITIC), "isolated"),
            pre_tokenizers.Split(Regex(SECOND_PROCLITIC), "isolated"),
        ]
    )


def train_tokenizer(texts: Iterable[str], vocab_size: int, min_frequency: int = 3) -> Tokenizer:
    """Learn `vocab_size` pieces, the five special ones first, from `texts`."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=64))
    tokenizer.normalizer = normalizer()
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_PIECES),
        limit_alphabet=500,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = {piece: piece_id(tokenizer, piece) for piece in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())
    )
    return tokenizer


def piece_id(tokenizer: Tokenizer, piece: str) -> int:
    """The id of a piece that must be there."""
    found = tokenizer.token_to_id(piece)
    if found is None:
        raise ConfigError(f"the tokenizer has no piece {piece!r}")
    return int(found)


def wrap_tokenizer(tokenizer: Tokenizer, max_pieces: int) -> PreTrainedTokenizerFast:
    """The form that transformers loads, saves and calls."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_pieces: int) -> None:
    """Write the files that `AutoTokenizer.from_pretrained(folder)` loads without any code of ours."""
    wrap_tokenizer(tokenizer, max_pieces).save_pretrained(folder)

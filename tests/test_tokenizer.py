import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.tiny import gold
from training.tokenizer import SPECIAL_PIECES, normalizer, piece_id, pre_tokenizer, save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([a.text for a in gold()] * 3, vocab_size=400, min_frequency=1)


def words(text: str) -> list[str]:
    return [word for word, _ in pre_tokenizer().pre_tokenize_str(normalizer().normalize_str(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("لداعش", ["ل", "داعش"]),
        ("وبنغازي", ["و", "ب", "نغازي"]),
        ("للجيش", ["ل", "لجيش"]),
        ("وبالموصل", ["و", "ب", "الموصل"]),
        ("فالجيش", ["ف", "الجيش"]),
        ("ولد", ["ولد"]),  # two letters follow: too short to split
        ("300كم", ["300", "كم"]),
        ("«داعش»", ["«", "داعش", "»"]),
        ("و", ["و"]),
    ],
)
def test_proclitics_are_split_by_rule(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("قُتِلَ", "قتل"),
        ("المديـــنة", "المدينة"),
        ("أحمد إيران آل", "احمد ايران ال"),
        ("على علي", "على علي"),  # alef maqsura tells words apart and stays
        ("ISIS ٢٠١٥", "isis 2015"),
        ("دا\u200cعش\u200f", "داعش"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalizer().normalize_str(text) == expected


@given(st.text(alphabet=st.sampled_from("داعش وبلفك\u064e\u0651\u0640\u200f\u200c😀aZ9٣.«»\r\n أإ"), max_size=40))
def test_offsets_are_into_the_untouched_text(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    last = 0
    for piece, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        assert last <= start < end <= len(text), (piece, start, end)
        if piece != "[UNK]":
            assert normalizer().normalize_str(text[start:end]) == piece.removeprefix("##")
        last = end


def test_pieces_never_straddle_an_entity_border(tokenizer: Tokenizer) -> None:
    for annotation in gold():
        offsets = tokenizer.encode(annotation.text, add_special_tokens=False).offsets
        starts, ends = {a for a, _ in offsets}, {b for _, b in offsets}
        for entity in annotation.entities:
            assert entity.span.start in starts
            assert entity.span.end in ends


def test_saved_folder_loads_without_our_code(tokenizer: Tokenizer, tmp_path) -> None:
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, tmp_path, 64)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = gold()[0].text
    assert loaded(text)["input_ids"] == tokenizer.encode(text).ids
    assert (loaded.cls_token_id, loaded.sep_token_id) == (piece_id(tokenizer, "[CLS]"), piece_id(tokenizer, "[SEP]"))
    assert [tokenizer.id_to_token(i) for i in range(5)] == list(SPECIAL_PIECES)

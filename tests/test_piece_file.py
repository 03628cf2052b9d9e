from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.errors import ConfigError
from tests.tiny import gold
from training.piece_file import HELD_OUT, PIECES, Permutation, PieceRows, open_pieces, write_pieces
from training.tokenizer import piece_id, train_tokenizer

TEXTS = [a.text for a in gold()]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**31))
def test_a_permutation_holds_every_row_once(size: int, key: int) -> None:
    assert sorted(Permutation(size, (key,))[np.arange(size)]) == list(range(size))


def test_a_permutation_mixes() -> None:
    order = Permutation(10_000, (1, 2))[np.arange(10_000)]
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    assert (np.abs(np.diff(order)) == 1).mean() < 0.01
    assert not np.array_equal(order, Permutation(10_000, (1, 3))[np.arange(10_000)])


def test_rows_of_an_epoch_cover_every_piece_once() -> None:
    pieces = np.arange(100, dtype=np.uint16) + 10
    rows = PieceRows(pieces, length=12, cls=2, sep=3, seed=1)
    seen = np.concatenate([rows.batch(i, 2)[:, 1:-1].ravel() for i in range(5)])
    assert sorted(seen) == list(range(10, 110))
    assert rows.batch(3, 2).tolist() == PieceRows(pieces, length=12, cls=2, sep=3, seed=1).batch(3, 2).tolist()
    across = rows.batch(3, 3)  # rows 9 to 11: the end of one epoch and the start of the next
    assert across[0].tolist() == rows.batch(9, 1)[0].tolist()
    assert across[1].tolist() == rows.batch(10, 1)[0].tolist()


def test_texts_shorter_than_a_row_are_refused() -> None:
    with pytest.raises(ConfigError, match="hold 5 pieces, fewer than one row of 12"):
        PieceRows(np.arange(5, dtype=np.uint16), length=12, cls=2, sep=3, seed=1)


def test_pieces_are_those_of_the_texts_in_order(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=300, min_frequency=1)
    separator = piece_id(tokenizer, "[SEP]")
    documents = [TEXTS[:2], TEXTS[2:]]
    write_pieces(documents, tokenizer, separator, tmp_path)
    expected = [i for text in TEXTS for i in [*tokenizer.encode(text, add_special_tokens=False).ids, separator]]
    pieces = open_pieces(tmp_path)
    assert pieces.tolist() == expected
    assert pieces.dtype == np.uint16
    assert len(open_pieces(tmp_path, HELD_OUT)) == 0


def test_a_document_in_256_is_held_out_by_its_text(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=300, min_frequency=1)
    texts = [f"{TEXTS[0]} {i}" for i in range(1000)]
    separator = piece_id(tokenizer, "[SEP]")

    def held_out(documents: list[str], folder: Path) -> list[int]:
        folder.mkdir()
        write_pieces(([text] for text in documents), tokenizer, separator, folder)
        return open_pieces(folder, HELD_OUT).tolist()

    found = held_out(texts, tmp_path / "all")
    assert 0 < found.count(separator) < 20
    assert held_out(texts[::-1], tmp_path / "reversed").count(separator) == found.count(separator)
    total = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) + 1 for text in texts)
    assert len(open_pieces(tmp_path / "all")) + len(found) == total


def test_packed_pieces_are_unpacked(tmp_path: Path) -> None:
    import lzma

    tokenizer = train_tokenizer(TEXTS, vocab_size=300, min_frequency=1)
    write_pieces([TEXTS], tokenizer, 3, tmp_path)
    path = tmp_path / PIECES
    expected = open_pieces(tmp_path).tolist()
    (tmp_path / f"{PIECES}.xz").write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    assert open_pieces(tmp_path).tolist() == expected


def test_a_cut_off_file_is_noticed(tmp_path: Path) -> None:
    write_pieces([TEXTS], train_tokenizer(TEXTS, vocab_size=300, min_frequency=1), 3, tmp_path)
    path = tmp_path / PIECES
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ConfigError, match=r"pieces\.json says"):
        open_pieces(tmp_path)

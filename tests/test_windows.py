"""Long sentences in overlapping windows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.errors import AlignmentError
from labels.types import Span
from labels.windows import merge_windows, owned_parts, plan_windows

plans = st.tuples(st.integers(1, 600), st.integers(1, 130), st.integers(0, 129)).filter(lambda plan: plan[2] < plan[1])


def test_the_worked_example():
    assert plan_windows(10, 6, 2) == [Span(0, 6), Span(4, 10)]
    assert owned_parts([Span(0, 6), Span(4, 10)]) == [Span(0, 5), Span(5, 10)]


def test_what_fits_is_one_window_and_nothing_is_none():
    assert plan_windows(6, 6, 2) == [Span(0, 6)]
    assert plan_windows(0, 6, 2) == []


@pytest.mark.parametrize(("size", "overlap"), [(4, 4), (4, 5), (4, -1), (0, 0)])
def test_windows_that_cannot_move_on_are_refused(size, overlap):
    with pytest.raises(ValueError, match=f"overlap {overlap} and size {size}"):
        plan_windows(10, size, overlap)


@given(plans)
@settings(deadline=None)
def test_windows_cover_all_and_share_at_least_the_overlap(plan):
    n_pieces, size, overlap = plan
    windows = plan_windows(n_pieces, size, overlap)
    assert windows[0].start == 0
    assert windows[-1].end == n_pieces
    assert all(window.end - window.start <= size for window in windows)
    for before, after in pairwise(windows):
        assert before.start < after.start
        assert before.end - after.start >= overlap


@given(plans)
@settings(deadline=None)
def test_owned_parts_tile_the_whole_and_lie_in_their_windows(plan):
    windows = plan_windows(*plan)
    parts = owned_parts(windows)
    assert [i for part in parts for i in range(part.start, part.end)] == list(range(plan[0]))
    assert all(window.start <= part.start < part.end <= window.end for window, part in zip(windows, parts, strict=True))


@given(plans)
@settings(deadline=None)
def test_merging_takes_each_row_from_the_window_that_owns_it(plan):
    windows = plan_windows(*plan)
    # Each row tells its piece and its window.
    scores = [
        np.array([[piece, rank] for piece in range(window.start, window.end)], dtype=np.float32)
        for rank, window in enumerate(windows)
    ]
    merged = merge_windows(windows, scores)
    assert merged[:, 0].tolist() == list(range(plan[0]))
    for rank, part in enumerate(owned_parts(windows)):
        assert set(merged[part.start : part.end, 1]) == {rank}


def test_rows_of_another_number_are_refused():
    with pytest.raises(AlignmentError, match="5 score rows for a window of 6"):
        merge_windows([Span(0, 6)], [np.zeros((5, 3), dtype=np.float32)])

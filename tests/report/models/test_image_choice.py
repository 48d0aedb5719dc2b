import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.models import image_choice

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(np.array)


def test_the_first_images_of_each_class_make_a_column_each() -> None:
    places, n_columns = image_choice.grid(np.array([1, 0, 1, 0, 1, 0, 1, 0]), 2)
    assert n_columns == 2
    assert places.reshape(-1, 2).tolist() == [[1, 0], [3, 2], [5, 4]]


def test_more_columns_than_classes_are_shared_out_between_neighbours() -> None:
    places, n_columns = image_choice.grid(np.array([0, 1] * 6), 4, n_rows=2)
    assert n_columns == 4
    assert places.reshape(-1, 4).tolist() == [[0, 2, 1, 3], [4, 6, 5, 7]]


def test_fewer_columns_than_classes_show_some_of_the_classes() -> None:
    places, n_columns = image_choice.grid(np.arange(10), 5, n_rows=1)
    assert (places.tolist(), n_columns) == ([0, 2, 4, 6, 8], 5)


@pytest.mark.parametrize(("n_classes", "n_columns"), [(2, 10), (3, 9), (4, 8), (10, 10)])
def test_without_a_wish_each_class_has_as_many_columns_as_fit_into_ten(n_classes: int, n_columns: int) -> None:
    labels = np.arange(300) % n_classes
    assert image_choice.grid(labels)[1] == n_columns


@pytest.mark.parametrize("labels", [np.zeros(40, int), np.arange(40)])
def test_without_classes_or_with_many_the_images_are_spread_over_the_whole_split(labels: np.ndarray) -> None:
    places, n_columns = image_choice.grid(labels)
    gaps = np.diff(places)
    assert (places[0], places[-1], len(places), n_columns) == (0, 39, 30, 10)
    assert set(gaps.tolist()) == {1, 2}  # 39 / 29 apart


@given(LABELS, st.none() | st.integers(1, 12), st.integers(1, 5))
def test_a_grid_is_full_of_different_images_of_the_split(labels: np.ndarray, wish: int | None, n_rows: int) -> None:
    places, n_columns = image_choice.grid(labels, wish, n_rows)
    assert 0 < len(places) == len(set(places.tolist()))
    assert len(places) % n_columns == 0
    assert len(places) // n_columns <= n_rows
    assert places.max() < len(labels)
    assert wish is None or n_columns <= wish


@given(LABELS, st.integers(1, 40))
def test_pairs_are_of_different_classes_and_none_comes_twice(labels: np.ndarray, n: int) -> None:
    pairs = image_choice.pairs(labels, n).tolist()
    assert 1 <= len(pairs) <= n
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
    if len(np.unique(labels)) > 1:
        assert all(labels[one] != labels[other] for one, other in pairs)
    else:
        assert all(one != other for one, other in pairs)


def test_the_first_pairs_go_through_the_classes() -> None:
    labels = np.arange(100) % 10
    classes = [labels[pair].tolist() for pair in image_choice.pairs(labels, 10)]
    assert classes == [[one, (one + 1) % 10] for one in range(10)]


@given(st.integers(1, 500), st.integers(2, 100))
def test_places_are_spread_evenly_from_the_first_to_the_last(n_images: int, n: int) -> None:
    places = image_choice.evenly(n_images, n).tolist()
    assert len(places) == min(n, n_images)
    assert (places[0], places[-1]) == (0, n_images - 1)
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert not steps or (min(steps) >= 1 and max(steps) - min(steps) <= 1)

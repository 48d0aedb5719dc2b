import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from report.drawing.tiles import READABLE, enlarge, large_tile, stacked, tile


def test_images_are_laid_out_row_by_row_with_white_between_and_in_empty_places() -> None:
    images = np.array([10, 20, 30], np.uint8).reshape(3, 1, 1)
    assert tile(images, 2).tolist() == [[10, 255, 20], [255, 255, 255], [30, 255, 255]]


def test_without_a_gap_images_touch() -> None:
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    assert tile(images, 2, gap=0).tolist() == [[0, 1], [2, 3]]


@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_every_image_is_found_where_its_row_and_column_say(
    n_images: int, n_columns: int, height: int, width: int, gap: int
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (n_images, height, width), np.uint8)
    picture = tile(images, n_columns, gap)
    for index, image in enumerate(images):
        row, column = divmod(index, n_columns)
        top, left = row * (height + gap), column * (width + gap)
        assert np.array_equal(picture[top : top + height, left : left + width], image)


def test_a_small_image_is_enlarged_by_whole_pixels_until_it_can_be_read() -> None:
    images = np.array([[[1, 2], [3, 4]]], np.uint8)
    large = enlarge(images)
    assert large.shape == (1, READABLE, READABLE)
    assert np.array_equal(large[0, :: READABLE // 2, :: READABLE // 2], images[0])


def test_a_large_image_keeps_its_size() -> None:
    images = np.zeros((3, 64, 48), np.uint8)
    assert enlarge(images).shape == images.shape
    assert large_tile(images, 3).shape == (64, 3 * 48 + 2 * 2)


def test_stacked_pictures_have_white_between_them_and_nowhere_else() -> None:
    one, other = np.array([[1, 2]], np.uint8), np.array([[3, 4], [5, 6]], np.uint8)
    assert stacked([one, other], 1).tolist() == [[1, 2], [255, 255], [3, 4], [5, 6]]
    assert stacked([one], 5).tolist() == [[1, 2]]

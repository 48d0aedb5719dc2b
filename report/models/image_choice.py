"""Which images of a split a figure shows: always the same, so that two models can be compared."""

import numpy as np

MAX_CLASSES = 10  # more classes than this are not shown one by one
COLUMNS, ROWS = 10, 3


def grid(labels: np.ndarray, n_columns: int | None = None, n_rows: int = ROWS) -> tuple[np.ndarray, int]:
    """Places in the split, [rows * columns], row by row, and the number of columns; fewer rows if images are few.

    With 2 to 10 classes each column holds images of one class, the classes from left to right; n_columns None: as
    many columns per class as fit into COLUMNS. Otherwise the images are spread evenly over the split, because
    neighbours may be frames of one film.
    """
    classes = np.unique(labels)
    if not 1 < len(classes) <= MAX_CLASSES:
        n_columns = min(n_columns or COLUMNS, len(labels))
        n_rows = min(n_rows, len(labels) // n_columns)
        return evenly(len(labels), n_rows * n_columns), n_columns
    n_columns = n_columns or len(classes) * (COLUMNS // len(classes))
    class_of_column = np.arange(n_columns) * len(classes) // n_columns
    columns_of_class = np.bincount(class_of_column, minlength=len(classes))
    places = [np.flatnonzero(labels == label) for label in classes]
    fewest = min(len(here) // n for here, n in zip(places, columns_of_class, strict=True) if n)
    if fewest == 0:  # a class has too few images: no columns by class
        return grid(np.zeros_like(labels), n_columns, n_rows)
    n_rows = min(n_rows, fewest)
    columns = [here[: n * n_rows].reshape(n_rows, n) for here, n in zip(places, columns_of_class, strict=True)]
    return np.concatenate(columns, axis=1).ravel(), n_columns


def pairs(labels: np.ndarray, n: int) -> np.ndarray:
    """At most n pairs of images, [n, 2]: of neighbouring classes, then of classes two apart, ...; no pair twice.

    Without classes: pairs of images half a split apart, spread over the split.
    """
    classes = np.unique(labels)
    half = len(labels) // 2
    if len(classes) == 1:
        first = evenly(half, n)
        return np.stack([first, first + half], axis=1)
    places = [np.flatnonzero(labels == label) for label in classes]
    found: list[tuple[int, int]] = []
    for turn in range(n):
        apart, start = divmod(turn, len(classes))
        one, other = start, (start + 1 + apart % (len(classes) - 1)) % len(classes)
        pair = (int(places[one][turn % len(places[one])]), int(places[other][turn % len(places[other])]))
        found += [pair] if pair not in found else []
    return np.array(found)


def evenly(n_images: int, n: int) -> np.ndarray:
    """At most n of n_images places, spread evenly, in their order."""
    return np.arange(n_images) if n >= n_images else np.linspace(0, n_images - 1, n).round().astype(int)

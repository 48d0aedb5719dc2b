"""Which images of a split a figure shows: always the same ones, so that two models can be compared."""

import numpy as np

MAX_CLASSES = 10  # more kinds of labels than this are not shown one by one
COLUMNS, ROWS = 10, 3


def grid(labels: np.ndarray, n_columns: int | None = None, n_rows: int = ROWS) -> tuple[np.ndarray, int]:
    """Places [rows * columns], row by row, and the number of columns; as many rows as there are images for.

    With 2 to 10 classes a column holds images of one class, the classes from left to right: without a wish for
    the columns as many for each class as fit into 10. Otherwise images spread evenly over the split, because the
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
    if fewest == 0:  # a class of too few images: no columns by class
        return grid(np.zeros_like(labels), n_columns, n_rows)
    n_rows = min(n_rows, fewest)
    columns = [here[: n * n_rows].reshape(n_rows, n) for here, n in zip(places, columns_of_class, strict=True)]
    return np.concatenate(columns, axis=1).ravel(), n_columns


def pairs(labels: np.ndarray, n: int) -> np.ndarray:
    """Two images each, [<= n, 2]: of neighbouring classes, then of classes two apart, ...; no pair twice.

    Without classes: images half a split apart, spread over the split.
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
    """At most n places of so many, spread evenly, in their order."""
    return np.arange(n_images) if n >= n_images else np.linspace(0, n_images - 1, n).round().astype(int)

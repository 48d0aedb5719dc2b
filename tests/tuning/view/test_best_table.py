"""The table that a sweep ends with."""

import io
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.material.records import trial as made_up
from tuning.records import TrialRecord
from tuning.view.best_table import best_table

BAR = "\N{BOX DRAWINGS LIGHT VERTICAL}"


def rendered(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def cells(table: Table) -> list[list[str]]:
    """The rows, without the heading."""
    lines = [line for line in rendered(table).splitlines() if line.startswith(BAR)]
    return [[cell.strip() for cell in line.split(BAR)[1:-1]] for line in lines]


def heading(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def trial(number: int, elbos: tuple[float, ...], state: Any) -> TrialRecord:
    """Of rate 12.5."""
    return made_up(f"{number:04d}", [-elbo - 12.5 for elbo in elbos], state, rate=12.5)


def test_the_table_of_the_best_ranks_and_leaves_out_the_failed() -> None:
    records = [
        trial(0, (-110.0,), "complete"),
        trial(1, (-120.0, -105.5, -106.0), "pruned"),
        trial(2, (-10.0,), "failed"),
        trial(3, (), "running"),
    ]
    table = best_table(records, ["beta"], 5)
    assert cells(table) == [
        ["1", "0001", "pruned", "-105.50", "12.50", "93.00", "2", "4"],
        ["2", "0000", "complete", "-110.00", "12.50", "97.50", "1", "4"],
    ]
    assert "beta = 1" in rendered(table)


def test_the_table_of_the_best_is_as_long_as_asked() -> None:
    records = [trial(number, (-100.0 - number,), "complete") for number in range(9)]
    assert best_table(records, [], 3).row_count == 3
    assert best_table([], [], 3).row_count == 0


def test_a_trial_without_an_elbo_has_a_dash_for_it_and_for_what_does_not_apply() -> None:
    records = [
        made_up("0000", [80.0], metric="val_distortion"),
        made_up("0001", [70.0], metric="val_distortion", rate=None, mode="autoencoder"),
    ]
    records[1].params.clear()
    table = best_table(records, ["beta"], 5)
    assert heading(table) == ["rank", "trial", "state", "val_distortion", "val_elbo", "rate", "epoch", "beta"]
    assert cells(table) == [
        ["1", "0001", "complete", "70.00", "-", "-", "1", "-"],
        ["2", "0000", "complete", "80.00", "-90.00", "10.00", "1", "4"],
    ]


def test_with_several_seeds_a_row_is_a_configuration_with_its_mean_and_its_spread() -> None:
    records = [
        *(made_up(f"0000-{i}", [distortion]) for i, distortion in enumerate([80.0, 82.0, 84.0], start=1)),
        *(made_up(f"0001-{i}", [distortion]) for i, distortion in enumerate([70.0, 70.0, 70.0], start=1)),
        made_up("0002-1", [20.0]),
        made_up("0002-2", [], "failed", "x"),
        made_up("0003-1", [99.0], "running"),
    ]
    table = best_table(records, ["beta"], 5)
    assert heading(table) == ["rank", "configuration", "seeds", "val_elbo", "rate", "distortion", "beta"]
    assert cells(table) == [
        [
            "1",
            "0001",
            "3",
            "-80.00 \N{PLUS-MINUS SIGN} 0.00",
            "10.00 \N{PLUS-MINUS SIGN} 0.00",
            "70.00 \N{PLUS-MINUS SIGN} 0.00",
            "4",
        ],
        [
            "2",
            "0000",
            "3",
            "-92.00 \N{PLUS-MINUS SIGN} 2.00",
            "10.00 \N{PLUS-MINUS SIGN} 0.00",
            "82.00 \N{PLUS-MINUS SIGN} 2.00",
            "4",
        ],
        ["3", "0003", "1", "-109.00", "10.00", "99.00", "4"],
    ]


def test_with_two_objectives_the_front_is_marked() -> None:
    points = {"0000": (10.0, 80.0), "0001": (20.0, 69.0), "0002": (20.0, 75.0)}
    records = [made_up(name, [d], metric="rate_distortion", rate=r) for name, (r, d) in points.items()]
    table = best_table(records, [], 5)
    assert heading(table)[-1] == "pareto"
    assert [(row[1], row[-1]) for row in cells(table)] == [("0001", "yes"), ("0000", "yes"), ("0002", "")]

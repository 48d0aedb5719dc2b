"""leaderboard.csv, its columns, its order and its exact numbers; and the table that a sweep ends with."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from tests.material.fresh import searched_and_confirmed
from tests.material.records import metrics, trial
from tuning.confirmed import confirmed
from tuning.records import TrialRecord
from tuning.view import leaderboard as leaderboard_module
from tuning.view.leaderboard import LeaderboardFile, best_table, best_tables, leaderboard, leaderboard_csv
from vae.config import HYPERPARAMETERS, TrialConfig
from vae.model.metrics import EpochMetrics, Terms

BAR = "\N{BOX DRAWINGS LIGHT VERTICAL}"
SET = [name for name in HYPERPARAMETERS if name != "epochs"]
COLUMNS = (
    f"rank,trial_id,state,{','.join(SET)},val_elbo,best_epoch,val_rate,val_distortion,"
    "val_noisy_elbo,val_noisy_rate,val_noisy_distortion,epochs,seconds,checkpoint,error"
)


def test_a_row_has_rank_state_hyperparameters_and_the_best_epochs_metrics() -> None:
    (row,) = leaderboard([trial("0007", [100.0, 80.0, 95.0], "pruned")])
    assert row == {
        "rank": 1,
        "trial_id": "0007",
        "state": "pruned",
        **{name: TrialConfig.model_fields[name].default for name in SET},
        "beta": 4.0,
        **{"val_elbo": -90.0, "best_epoch": 2, "val_rate": 10.0, "val_distortion": 80.0},
        **dict.fromkeys(("val_noisy_elbo", "val_noisy_rate", "val_noisy_distortion"), ""),
        **{"epochs": 3, "seconds": 0.75},
        "checkpoint": "trials/0007/model.safetensors",
        "error": "",
    }


def test_a_trial_that_reached_nothing_has_empty_cells_and_no_checkpoint() -> None:
    (row,) = leaderboard([trial("0000", [], "failed", "RuntimeError: gone")])
    assert [row[name] for name in ("val_elbo", "best_epoch", "val_rate", "val_distortion", "checkpoint")] == [""] * 5
    assert (row["epochs"], row["seconds"], row["error"]) == (0, 0, "RuntimeError: gone")


def test_the_file_has_its_columns_in_order_and_a_row_per_trial_best_first() -> None:
    records = [trial("0000", [90.0]), trial("0001", [70.0]), trial("0002", [10.0], "failed", "x")]
    lines = leaderboard_csv(records).decode().splitlines()
    assert lines[0] == COLUMNS
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["1", "0001", "complete"],
        ["2", "0000", "complete"],
        ["3", "0002", "failed"],
    ]


def test_without_trials_the_file_is_its_header() -> None:
    assert leaderboard_csv([]) == (COLUMNS + "\n").encode()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40))
def test_any_error_text_is_read_back_from_the_file(error: str) -> None:
    content = leaderboard_csv([trial("0000", [90.0]), trial("0001", [], "failed", error)]).decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [row["trial_id"] for row in rows] == ["0000", "0001"]
    assert rows[1]["error"] == error


@pytest.mark.parametrize("error", ['a, "b"\nc', "\r\n", ",,,", '"', "line 1\nline 2"])
def test_commas_quotes_and_line_ends_in_an_error_stay_in_its_cell(error: str) -> None:
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv([trial("0000", [], "failed", error)]).decode(), newline="")))
    assert [row["error"] for row in rows] == [error]
    assert None not in rows[0]


@given(st.floats(1e-300, 1e300), st.floats(0, 1e300))
def test_numbers_in_the_file_are_exact(distortion: float, rate: float) -> None:
    record = TrialRecord("0000", {}, TrialConfig(), "complete", [metrics(1, distortion, rate)])
    (row,) = csv.DictReader(io.StringIO(leaderboard_csv([record]).decode()))
    assert (float(row["val_distortion"]), float(row["val_rate"])) == (distortion, rate)
    assert float(row["val_elbo"]) == -(distortion + rate)


def test_an_error_that_is_no_unicode_does_not_lose_the_leaderboard() -> None:
    content = leaderboard_csv([trial("0000", [], "failed", "bad \udcff byte")])
    assert b"bad " in content


def rows_of(records: list[TrialRecord]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(leaderboard_csv(records).decode(), newline="")))


def test_numbers_that_a_trial_has_not_are_empty_cells() -> None:
    records = [
        trial("0000", [80.0], metric="val_distortion"),
        trial("0001", [70.0], metric="val_distortion", rate=None, mode="autoencoder"),
    ]
    first, second = rows_of(records)
    assert [first[name] for name in ("mode", "val_elbo", "val_rate", "val_distortion")] == [
        "autoencoder",
        "",
        "",
        "70.0",
    ]
    assert [second[name] for name in ("mode", "val_elbo", "val_rate", "val_distortion")] == [
        "vae",
        "-90.0",
        "10.0",
        "80.0",
    ]


def test_the_numbers_of_the_corrupted_input_have_columns() -> None:
    noisy = EpochMetrics.of(1, 1.0, Terms(90.0, 5.0), Terms(80.0, 10.0), Terms(85.0, 12.0), 0.25)
    record = TrialRecord("0000", {}, TrialConfig(noise="gaussian"), "complete", [noisy])
    (row,) = rows_of([record])
    assert [row[f"val_noisy_{name}"] for name in ("elbo", "rate", "distortion")] == ["-97.0", "12.0", "85.0"]


def test_with_two_objectives_a_column_says_who_is_on_the_front() -> None:
    points = {"0000": (10.0, 80.0), "0001": (20.0, 70.0), "0002": (20.0, 75.0)}
    records = [trial(name, [d], metric="rate_distortion", rate=r) for name, (r, d) in points.items()]
    assert {row["trial_id"]: row["pareto"] for row in rows_of(records)} == {"0000": "yes", "0001": "yes", "0002": ""}
    assert "pareto" not in leaderboard([trial("0000", [80.0])])[0]


def test_the_trials_of_a_configuration_stand_together_with_its_rank_its_mean_and_its_spread() -> None:
    records = [
        trial("0000-1", [60.0]),
        trial("0000-2", [100.0]),
        trial("0001-1", [75.0]),
        trial("0001-2", [77.0]),
        trial("0002-1", [10.0]),
        trial("0002-2", [], "failed", "diverged in epoch 1"),
    ]
    names = ("rank", "trial_id", "configuration", "repeat", "mean_score", "sd_score", "error")
    half = repr(math.sqrt(2.0))  # of two values 2 apart, over n - 1
    wide = repr(math.sqrt(800.0))
    assert [tuple(row[name] for name in names) for row in rows_of(records)] == [
        ("1", "0001-1", "0001", "1", "-86.0", half, ""),
        ("1", "0001-2", "0001", "2", "-86.0", half, ""),
        ("2", "0000-1", "0000", "1", "-90.0", wide, ""),
        ("2", "0000-2", "0000", "2", "-90.0", wide, ""),
        ("3", "0002-1", "0002", "1", "", "", ""),
        ("3", "0002-2", "0002", "2", "", "", "diverged in epoch 1"),
    ]


# ---------------------------------------------------------------- the file as the sweep runs


class Clock:
    """A monotonic clock that writing the file moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("seconds_to_write", "expected"), [(0.001, 2.0), (0.75, 37.5)])
def test_the_longer_the_file_takes_to_write_the_longer_it_waits_for_two_percent_of_the_drivers_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds_to_write: float, expected: float
) -> None:
    clock = Clock()

    def content(trials: list[TrialRecord]) -> bytes:
        clock.now += seconds_to_write
        return b"rank\n"

    monkeypatch.setattr(leaderboard_module, "time", clock)
    monkeypatch.setattr(leaderboard_module, "leaderboard_csv", content)
    file = LeaderboardFile(tmp_path)
    assert not file.is_due
    file.write([])
    assert (tmp_path / "leaderboard.csv").read_bytes() == b"rank\n"
    clock.now += expected - 0.01
    assert not file.is_due
    clock.now += 0.02
    assert file.is_due


# ---------------------------------------------------------------- the table of the best


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


def of_rate(number: int, elbos: tuple[float, ...], state: Any) -> TrialRecord:
    """Of rate 12.5."""
    return trial(f"{number:04d}", [-elbo - 12.5 for elbo in elbos], state, rate=12.5)


def test_the_table_of_the_best_ranks_and_leaves_out_the_failed() -> None:
    records = [
        of_rate(0, (-110.0,), "complete"),
        of_rate(1, (-120.0, -105.5, -106.0), "pruned"),
        of_rate(2, (-10.0,), "failed"),
        of_rate(3, (), "running"),
    ]
    table = best_table(records, ["beta"], 5)
    assert cells(table) == [
        ["1", "0001", "pruned", "-105.50", "12.50", "93.00", "2", "4"],
        ["2", "0000", "complete", "-110.00", "12.50", "97.50", "1", "4"],
    ]
    assert "beta = 1" in rendered(table)


def test_the_table_of_the_best_is_as_long_as_asked() -> None:
    records = [of_rate(number, (-100.0 - number,), "complete") for number in range(9)]
    assert best_table(records, [], 3).row_count == 3
    assert best_table([], [], 3).row_count == 0


def test_a_trial_without_an_elbo_has_a_dash_for_it_and_for_what_does_not_apply() -> None:
    records = [
        trial("0000", [80.0], metric="val_distortion"),
        trial("0001", [70.0], metric="val_distortion", rate=None, mode="autoencoder"),
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
        *(trial(f"0000-{i}", [distortion]) for i, distortion in enumerate([80.0, 82.0, 84.0], start=1)),
        *(trial(f"0001-{i}", [distortion]) for i, distortion in enumerate([70.0, 70.0, 70.0], start=1)),
        trial("0002-1", [20.0]),
        trial("0002-2", [], "failed", "x"),
        trial("0003-1", [99.0], "running"),
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
    records = [trial(name, [d], metric="rate_distortion", rate=r) for name, (r, d) in points.items()]
    table = best_table(records, [], 5)
    assert heading(table)[-1] == "pareto"
    assert [(row[1], row[-1]) for row in cells(table)] == [("0001", "yes"), ("0000", "yes"), ("0002", "")]


def test_what_fresh_seeds_say_stands_beside_the_rank_of_the_search() -> None:
    sweep = searched_and_confirmed(Path("nowhere"))
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv(sweep.trials, confirmed(sweep)).decode())))
    names = ("rank", "confirmed_rank", "confirmed_mean", "confirmed_n", "shrinkage")
    assert [[row[name] for name in names] for row in rows] == [
        ["1", "2", "-103.0", "2", "4.0"],
        ["2", "1", "-101.0", "2", "0.5"],
        ["3", "", "", "", ""],
    ]
    assert [float(row["confirmed_std"]) for row in rows[:2]] == pytest.approx([math.sqrt(2)] * 2)
    assert "confirmed_rank" not in leaderboard_csv(sweep.trials).decode()


def test_a_sweep_ends_with_a_second_table_where_fresh_seeds_confirm_it() -> None:
    sweep = searched_and_confirmed(Path("nowhere"))
    assert len(best_tables(sweep.trials, [], ["beta"], 3)) == 1
    _, table = best_tables(sweep.trials, confirmed(sweep), ["beta"], 3)
    cells = [list(column.cells) for column in table.columns]
    assert cells[:4] == [["1", "2"], ["2", "1"], ["0002", "0001"], ["2", "2"]]
    assert cells[4] == ["-101.00 \N{PLUS-MINUS SIGN} 1.41", "-103.00 \N{PLUS-MINUS SIGN} 1.41"]
    assert cells[5:7] == [["-100.50", "-99.00"], ["0.50", "4.00"]]
    assert str(table.caption).startswith("1 and 2 cannot be told apart")


def test_a_table_of_configurations_says_which_of_them_cannot_be_told_apart() -> None:
    trials = [trial(f"{n:04d}-{k}", [80.0 + n + 9 * k], seed=k) for n in range(2) for k in (1, 2)]
    assert str(best_table(trials, [], 3).caption).startswith("1 and 2 cannot be told apart: ")
    assert best_table(trials[:3], [], 3).caption is None  # the second has one seed so far

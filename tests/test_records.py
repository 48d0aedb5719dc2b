import csv
import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.records import TrialRecord, leaderboard, leaderboard_csv, ranked
from vae.config import HYPERPARAMETERS, TrialConfig
from vae.metrics import EpochMetrics

SET = [name for name in HYPERPARAMETERS if name != "epochs"]
COLUMNS = (
    f"rank,trial_id,state,{','.join(SET)},val_elbo,best_epoch,val_rate,val_distortion,epochs,seconds,checkpoint,error"
)


def metrics(epoch: int, distortion: float, rate: float = 10.0) -> EpochMetrics:
    return EpochMetrics.of(epoch, 4.0, (200.0, 1.0), (distortion, rate), 0.25)


def trial(trial_id: str, distortions: list[float], state: Any = "complete", error: str = "") -> TrialRecord:
    history = [metrics(epoch, distortion) for epoch, distortion in enumerate(distortions, start=1)]
    return TrialRecord(trial_id, {"beta": 4.0}, TrialConfig(beta=4.0), state, history, error)


def ids(records: list[TrialRecord]) -> list[str]:
    return [record.trial_id for record in ranked(records)]


def test_a_trial_is_worth_its_best_epochs_elbo_at_beta_1() -> None:
    record = trial("0000", [100.0, 80.0, 95.0])
    assert record.best == metrics(2, 80.0)
    assert record.val_elbo == -90.0  # -(80 + 10), whatever beta weighs the loss with


def test_a_trial_without_a_finite_epoch_is_worth_nothing() -> None:
    for record in (trial("0000", []), trial("0001", [math.nan, math.inf])):
        assert record.best is None
        assert record.val_elbo == -math.inf


def test_seconds_are_those_of_training_and_evaluation() -> None:
    assert trial("0000", [100.0, 90.0, 80.0]).seconds == 0.75
    assert trial("0000", []).seconds == 0.0


def test_a_trials_folder_is_relative_to_the_sweeps() -> None:
    assert trial("0042", []).folder == "trials/0042"


def test_the_best_comes_first_whatever_its_state_and_the_failed_last() -> None:
    records = [
        trial("0000", [90.0]),
        trial("0001", [50.0], "failed"),
        trial("0002", [70.0, 99.0], "pruned"),
        trial("0003", [60.0], "running"),
        trial("0004", [], "running"),
        trial("0005", [], "failed"),
        trial("0006", [80.0]),
    ]
    assert ids(records) == ["0003", "0002", "0006", "0000", "0004", "0001", "0005"]


def test_equal_trials_keep_the_order_of_their_numbers() -> None:
    assert ids([trial(name, [90.0]) for name in ("0002", "0000", "0001")]) == ["0000", "0001", "0002"]


def test_an_epoch_that_is_not_finite_does_not_lift_or_sink_a_trial() -> None:
    assert ids([trial("0000", [90.0]), trial("0001", [80.0, math.nan]), trial("0002", [85.0, -math.inf])]) == [
        "0001",
        "0002",
        "0000",
    ]


@given(st.permutations(range(8)))
def test_the_ranking_does_not_depend_on_the_order_of_the_records(order: list[int]) -> None:
    records = [trial(f"{n:04d}", [100.0 - n // 2], "failed" if n == 5 else "complete") for n in range(8)]
    assert ids([records[n] for n in order]) == ["0006", "0007", "0004", "0002", "0003", "0000", "0001", "0005"]


def test_a_row_has_rank_state_hyperparameters_and_the_best_epochs_metrics() -> None:
    (row,) = leaderboard([trial("0007", [100.0, 80.0, 95.0], "pruned")])
    assert row == {
        "rank": 1,
        "trial_id": "0007",
        "state": "pruned",
        **{name: TrialConfig.model_fields[name].default for name in SET},
        "beta": 4.0,
        **{"val_elbo": -90.0, "best_epoch": 2, "val_rate": 10.0, "val_distortion": 80.0},
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

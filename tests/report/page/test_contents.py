"""The page's data: what leaderboard.csv has, what the trials' records have, and no text that could break out."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from report.page.contents import MOST_PICTURES, contents, how_it_ended, with_pictures
from report.page.document import as_json, embedded, page
from report.page.pictures import Album
from tests.material import reports
from tests.material.fresh import searched_and_confirmed
from tests.material.pages import WICKED, made_up, shown, text_of
from tuning.confirmed import confirmed
from tuning.records import SweepRecord, pareto_front
from tuning.view.leaderboard import leaderboard_csv

NOT_IN_THE_PAGE = {"pareto"}  # which has `front` of every sweep with a rate


def rows_of(data: dict[str, object]) -> list[dict[str, str]]:
    """The page's columns as the rows of a CSV."""
    columns, n = data["columns"], data["n"]
    whole = {name: values if isinstance(values, list) else [values["all"]] * n for name, values in columns.items()}
    return [{name: "" if values[i] is None else str(values[i]) for name, values in whole.items()} for i in range(n)]


def leaderboard_rows(sweep: SweepRecord) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(leaderboard_csv(sweep.trials).decode())))


def without(row: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("kind", ["plain", "autoencoder", "repeats", "two objectives"])
def test_the_embedded_numbers_are_those_of_leaderboard_csv(kind: str) -> None:
    """Every column, every row, in the same order, to the last digit."""
    sweep = made_up(60, **({"mode": "autoencoder"} if kind == "autoencoder" else {}))
    if kind == "repeats":
        ids = [f"{k:04d}-{repeat}" for k in range(20) for repeat in (1, 2, 3)]
        sweep.trials = [replace(one, trial_id=name) for one, name in zip(sweep.trials, ids, strict=True)]
    if kind == "two objectives":
        sweep.trials = [replace(one, metric="rate_distortion") for one in sweep.trials]
    expected = leaderboard_rows(sweep)
    found = rows_of(embedded(text_of(sweep))) if kind == "plain" else rows_of(contents(sweep, {}, Album(), "ended"))
    assert len(found) == len(expected) == 60
    for page_row, csv_row in zip(found, expected, strict=True):
        assert without(page_row, "front") == without(csv_row, *NOT_IN_THE_PAGE)
        assert "pareto" not in csv_row or (csv_row["pareto"] == "yes") == (page_row["front"] == "True")


def test_the_front_is_that_of_the_ended_trials() -> None:
    sweep = made_up(80)
    found = {row["trial_id"] for row in rows_of(contents(sweep, {}, Album(), "ended")) if row["front"] == "True"}
    assert found == pareto_front(sweep.trials)
    assert len(found) > 3


def test_a_curve_has_every_epoch_to_a_thousandth_of_a_nat() -> None:
    sweep = made_up(12)
    data = contents(sweep, {}, Album(), "ended")
    by_id = {record.trial_id: record for record in sweep.trials}
    for row, (rates, distortions, train, seconds) in zip(rows_of(data), data["curves"], strict=True):
        history = by_id[row["trial_id"]].history
        assert rates == pytest.approx([metrics.val_rate for metrics in history], abs=5.1e-4)
        assert distortions == pytest.approx([metrics.val_distortion for metrics in history], abs=5.1e-4)
        assert train == pytest.approx([metrics.train_elbo for metrics in history], abs=5.1e-4)
        assert seconds[-1] == pytest.approx(sum(metrics.epoch_seconds for metrics in history), abs=1e-3)


def test_an_epoch_that_diverged_is_a_gap_in_the_curve() -> None:
    sweep = reports.sweep(Path("nowhere"), [reports.record("0000", [-100.0, -90.0], "failed")])
    sweep.trials[0].history.append(reports.nan_metrics(3))
    (curve,) = contents(sweep, {}, Album(), "ended")["curves"]
    assert [value is None for value in curve[1]] == [False, False, True]


def test_no_text_of_a_trial_can_leave_the_data() -> None:
    sweep = made_up(90)
    assert any(record.error == WICKED for record in sweep.trials)
    text = text_of(sweep)
    assert text.count("</script>") == 2, "the ends of the data and of the script"
    assert "onmouseover" not in text.replace(as_json(embedded(text)), "")
    assert WICKED in {row["error"] for row in rows_of(embedded(text))}


def test_the_policy_allows_this_script_and_nothing_from_outside() -> None:
    text = text_of(made_up(3))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "img-src data:;" in policy
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    outside = set(re.findall(r"https?://[^\s'\"]+", text)) - {"http://www.w3.org/2000/svg"}
    assert outside == set(), "the name of SVG is no address"


def test_pictures_are_those_of_the_best_and_of_the_front() -> None:
    sweep = made_up(500)
    chosen = [record.trial_id for record in with_pictures(sweep.trials)]
    front = pareto_front(sweep.trials)
    assert len(chosen) == len(set(chosen))
    assert front <= set(chosen)
    assert MOST_PICTURES <= len(chosen) <= MOST_PICTURES + len(front)


def test_equal_pictures_are_stored_once() -> None:
    album = Album()
    first, second = shown(1).stored(album), shown(2).stored(album)
    assert first["inputs"] == second["inputs"]
    assert first["outputs"] != second["outputs"]
    assert len(album.uris) == 5


def test_a_sweep_that_lacks_trials_was_stopped() -> None:
    sweep = made_up(4)
    assert how_it_ended(sweep) == "ended"
    assert how_it_ended(replace(sweep, trials=sweep.trials[:3])) == "stopped"
    sweep.trials[0].state = "running"
    assert how_it_ended(sweep) == "stopped"


def test_a_page_of_no_trials_is_a_page() -> None:
    assert embedded(page(contents(made_up(0), {}, Album(), "running")))["n"] == 0


def test_the_page_has_what_fresh_seeds_say_as_the_leaderboard_has_it() -> None:
    sweep = searched_and_confirmed(Path("nowhere"))
    data = contents(sweep, {}, Album(), "ended")
    expected = csv.DictReader(io.StringIO(leaderboard_csv(sweep.trials, confirmed(sweep)).decode()))
    assert [without(row, "front") for row in rows_of(data)] == list(expected)
    assert data["seed_moves"]["sd"] == pytest.approx(2**0.5)
    assert data["seed_moves"]["least"] == pytest.approx(
        4.30265 * 2, rel=1e-4
    )  # t of 2 degrees, times sd, times sqrt(2)
    assert contents(made_up(12), {}, Album(), "ended")["seed_moves"] is None

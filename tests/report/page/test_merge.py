"""One page of several sweeps."""

from dataclasses import replace
from pathlib import Path

import pytest

from report.__main__ import main
from report.page.document import embedded
from report.page.merge import merged, read_page
from tests.material.pages import made_up, text_of
from tuning.records import SweepRecord, ranked
from vae.errors import UserError


def written(folder: Path, sweep: SweepRecord) -> Path:
    (folder / sweep.name / "report").mkdir(parents=True)
    (folder / sweep.name / "report" / "index.html").write_text(text_of(sweep))
    return folder / sweep.name


def test_a_page_of_two_sweeps_has_all_trials_of_both_the_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps = [made_up(30, "one"), made_up(20, "two", seed=2)]
    out = tmp_path / "out"
    assert main([*(str(written(tmp_path, sweep)) for sweep in sweeps), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}\n"
    data = embedded((out / "index.html").read_text())
    sound = [(-one.score, sweep.name, one) for sweep in sweeps for one in sweep.trials if one.state != "failed"]
    expected = [(name, one.trial_id, one.best.val_elbo) for _, name, one in sorted(sound, key=lambda each: each[:2])]
    columns = data["columns"]
    found = list(zip(columns["sweep"], columns["trial_id"], columns["val_elbo"], strict=True))
    assert found[: len(expected)] == expected
    assert len(found) == data["n"] == len(data["curves"]) == len(data["pictures"]) == 50


def test_pictures_stay_with_their_trials(tmp_path: Path) -> None:
    one, two = (made_up(5, name, seed=seed) for name, seed in (("one", 1), ("two", 2)))
    pages = [read_page(written(tmp_path, sweep)) for sweep in (one, two)]
    data = merged(pages)
    picture_of = {
        trial_id: page["images"][page["pictures"][i]["outputs"]]
        for page in pages
        for i, trial_id in enumerate(page["columns"]["trial_id"])
    }
    for trial_id, found in zip(data["columns"]["trial_id"], data["pictures"], strict=True):
        assert data["images"][found["outputs"]] == picture_of[trial_id]


def test_what_one_sweep_fixes_and_another_searches_is_an_axis_of_both(tmp_path: Path) -> None:
    one, two = made_up(4, "one"), made_up(4, "two")
    one.search = {name: dimension for name, dimension in one.search.items() if name != "beta"}
    two.search = two.search | {"beta": {"type": "float", "low": 0.01, "high": 1.0, "log": True}}
    data = merged([read_page(written(tmp_path, sweep)) for sweep in (one, two)])
    beta = next(dimension for dimension in data["search"] if dimension["name"] == "beta")
    assert (beta["low"], beta["high"]) == (0.01, 1.0)
    assert sorted(data["columns"]["beta"]) == sorted(record.config.beta for record in one.trials + two.trials)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (made_up(3, "other", likelihood="gaussian"), "likelihood bernoulli and gaussian"),
        (made_up(3, "other", binarize="threshold"), "binarize none and threshold"),
        (replace(made_up(3, "other"), image_shape=(28, 20)), "images of 28 x 28 pixels and 28 x 20 pixels"),
    ],
    ids=lambda value: "" if isinstance(value, SweepRecord) else str(value),
)
def test_sweeps_whose_nats_are_not_the_same_are_refused_in_one_line(
    tmp_path: Path, other: SweepRecord, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(written(tmp_path, sweep)) for sweep in (made_up(3, "one"), other)]) == 2
    assert capsys.readouterr().err == f"error: one and other cannot be compared: {why}\n"


def test_a_folder_without_a_page_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no report/index\.html; build it with: python sweep\.py --report none"):
        read_page(tmp_path / "none")


def test_another_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Hello")
    with pytest.raises(UserError, match="not the page of a sweep"):
        read_page(tmp_path)


def test_flags_of_one_models_figures_are_refused_with_several_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "--only", "samples"]) == 2
    assert capsys.readouterr().err == "error: --only: of the figures of one model, but 2 folders are given\n"


def test_the_best_of_the_merged_page_is_the_best_of_all(tmp_path: Path) -> None:
    sweeps = [made_up(10, "one"), made_up(10, "two", seed=3)]
    data = merged([read_page(written(tmp_path, sweep)) for sweep in sweeps])
    best = ranked([record for sweep in sweeps for record in sweep.trials])[0]
    assert best.best is not None
    assert data["columns"]["val_elbo"][0] == best.best.val_elbo

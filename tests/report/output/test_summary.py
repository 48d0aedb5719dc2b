"""The page in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report.models.checkpoints import Checkpoint
from report.models.evaluated import EvaluatedModel
from report.output.summary import summary
from tests.material.fresh import searched_and_confirmed
from tests.material.reports import record, sweep
from tuning.records import State, SweepRecord, TrialRecord
from vae.config import TrialConfig
from vae.evaluate.result import Evaluation, ImportanceWeighted, NeighbourAccuracy
from vae.model.metrics import EpochMetrics, Terms
from vae.model.network import Vae
from vae.storage.checkpoint import Description

OF_A_VAE = Evaluation(
    n_images=10_000,
    distortion=80.125,
    elbo=-105.5,
    rate=25.375,
    importance_weighted=ImportanceWeighted(-99.25, 0.75, -104.0, 500, 200, 9.0, "posterior", 0.12),
    active_units=1,
    kl_per_dimension=[25.0, 0.375],
    mutual_information=9.0,
    mutual_information_ceiling=9.21,
    marginal_kl=16.375,
    neighbours=NeighbourAccuracy(0.964, 5, 10_000),
)
OF_AN_AUTOENCODER = Evaluation(10_000, 70.5, neighbours=NeighbourAccuracy(0.9, 5, 10_000))


def of_vae(trial_id: str = "0001", **config: Any) -> TrialRecord:
    return record(trial_id, [-110.0, -104.5], **config)


def of_autoencoder(trial_id: str = "0002", metric: str = "val_elbo", distortion: float = 71.25) -> TrialRecord:
    one = record(trial_id, [], mode="autoencoder")
    terms = Terms(distortion, None)
    return replace(one, metric=metric, history=[EpochMetrics.of(1, 1.0, terms, terms, None, 0.5)])


def model_of(one: TrialRecord, rank: int, test: Evaluation) -> EvaluatedModel:
    description = Description(one.config, "digits", (8, 8), len(one.history), one.history)
    checkpoint = Checkpoint(one, b"", Vae.alone(64, TrialConfig(latent_size=2, hidden_units=4)), description)
    return EvaluatedModel(rank, checkpoint, replace(test, n_images=5000), test)


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """By the heading above it, a dict per row."""
    found: dict[str, list[dict[str, str]]] = {}
    heading, header = "", None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("#"):
            heading, header = line.lstrip("# "), None
        elif line.startswith("|") and header is None:
            header = cells
        elif line.startswith("| ") and "---" not in cells:
            assert header is not None
            found.setdefault(heading, []).append(dict(zip(header, cells, strict=True)))
    return found


def models(text: str, heading: str) -> list[dict[str, str]]:
    """A dict per model, which is a column of its table; empty cells left out."""
    rows = tables(text)[heading]
    names = [name for name in rows[0] if name]
    assert names == [f"best {rank}" for rank in range(1, len(names) + 1)]
    return [{row[""]: row[name] for row in rows if row[name]} for name in names]


TEST, VALIDATION = "The best on the test split", "The same on the validation split"


def test_every_number_of_a_vae_stands_in_its_row(tmp_path: Path) -> None:
    one = of_vae(latent_size=2)
    text = summary(sweep(tmp_path, [one]), [model_of(one, 1, OF_A_VAE)])
    assert models(text, TEST) == [
        {
            "trial": "0001", "latent_size": "2", "beta": "1", "activation": "relu",
            "validation ELBO (epoch)": "-104.50 (2)", "test ELBO": "-105.50", "test rate": "25.38",
            "test distortion": "80.12",
            # the ELBO of all images, and what the first ones gain: -105.5 + (-99.25 + 104)
            "test bound (K = 500, gain on the first 200 images)": "-100.75 \N{PLUS-MINUS SIGN} 0.12",
            "ELBO of the first 200 images": "-104.00", "bound of the first 200 images": "-99.25",
            "mutual information": "at least 9.00", "active units": "1 of 2",
            "accuracy of 5 nearest neighbours": "96.4%", "test images": "10,000",
        }
    ]  # fmt: skip
    (row,) = models(text, VALIDATION)
    assert (row["ELBO"], row["images"]) == ("-105.50", "5,000")


def test_an_autoencoder_beside_a_vae_leaves_its_cells_empty(tmp_path: Path) -> None:
    both = [of_autoencoder(), of_vae()]
    best = [model_of(both[0], 1, OF_AN_AUTOENCODER), model_of(both[1], 2, OF_A_VAE)]
    first, second = models(summary(sweep(tmp_path, both), best), TEST)
    assert first["validation distortion (epoch)"] == "71.25 (1)"
    assert second["validation ELBO (epoch)"] == "-104.50 (2)"
    assert not {"validation ELBO (epoch)", "test ELBO", "active units"} & first.keys()
    assert "validation distortion (epoch)" not in second
    assert first["test distortion"] == "70.50"


def test_mutual_information_is_a_number_where_the_images_could_show_more(tmp_path: Path) -> None:
    one, shown = of_vae(), replace(OF_A_VAE, mutual_information=8.5)
    (row,) = models(summary(sweep(tmp_path, [one]), [model_of(one, 1, shown)]), TEST)
    assert row["mutual information"] == "8.50"


def test_a_number_that_no_model_has_is_left_out(tmp_path: Path) -> None:
    one = of_autoencoder()
    text = summary(sweep(tmp_path, [one]), [model_of(one, 1, OF_AN_AUTOENCODER)])
    (row,) = models(text, TEST)
    expected = {"trial", "latent_size", "beta", "activation", "validation distortion (epoch)"}
    assert row.keys() == expected | {"test distortion", "accuracy of 5 nearest neighbours", "test images"}
    assert "None" not in text


def test_noisy_numbers_have_columns_of_their_own(tmp_path: Path) -> None:
    one = of_vae(noise="gaussian")
    noisy = replace(OF_A_VAE, noisy_elbo=-120.5, noisy_rate=22.0, noisy_distortion=98.5)
    (row,) = models(summary(sweep(tmp_path, [one]), [model_of(one, 1, noisy)]), TEST)
    assert (row["test noisy ELBO"], row["test noisy rate"], row["test noisy distortion"]) == (
        "-120.50",
        "22.00",
        "98.50",
    )


def test_a_bound_from_the_prior_says_so(tmp_path: Path) -> None:
    one = record("0001", [], mode="decoder_only")
    one.history.extend(of_autoencoder().history)
    bound = ImportanceWeighted(-205.0, 3.5, -270.0, 500, 200, 1.3, "prior")
    evaluation = Evaluation(10_000, 271.0, importance_weighted=bound)
    (row,) = models(summary(sweep(tmp_path, [one]), [model_of(one, 1, evaluation)]), TEST)
    assert row["test bound (K = 500, first 200 images, z from the prior)"] == "-205.00 \N{PLUS-MINUS SIGN} 3.50"


def test_a_sweep_ranked_by_distortion_shows_it_for_every_trial(tmp_path: Path) -> None:
    both = [of_autoencoder(metric="val_distortion"), replace(of_vae(), metric="val_distortion")]
    best = [model_of(both[0], 1, OF_AN_AUTOENCODER), model_of(both[1], 2, OF_A_VAE)]
    rows = models(summary(sweep(tmp_path, both), best), TEST)
    assert [row["validation distortion (epoch)"] for row in rows] == ["71.25 (1)", "84.50 (2)"]
    assert all("validation ELBO (epoch)" not in row for row in rows)


def test_a_conditional_hyperparameter_has_a_cell_only_where_it_applies(tmp_path: Path) -> None:
    search: dict[str, dict[str, Any]] = {"noise": {}, "noise_factor": {}}
    clean = replace(of_vae("0001"), params={"noise": "none"})
    noisy = replace(of_vae("0002"), params={"noise": "gaussian", "noise_factor": 0.25})
    best = [model_of(one, rank, OF_A_VAE) for rank, one in enumerate((clean, noisy), start=1)]
    rows = models(summary(sweep(tmp_path, [clean, noisy], search), best), TEST)
    assert [(row["noise"], row.get("noise_factor", "")) for row in rows] == [("none", ""), ("gaussian", "0.25")]


# repeats


@pytest.fixture
def repeated(tmp_path: Path) -> SweepRecord:
    """Means -101, -103 with standard deviations sqrt(2) and 0; one of another configuration failed."""
    elbos = {"0000-1": -103.0, "0000-2": -103.0, "0001-1": -100.0, "0001-2": -102.0, "0002-1": -99.0}
    trials = [record(name, [elbo], seed=int(name[-1]), beta=float(name[3])) for name, elbo in elbos.items()]
    return sweep(tmp_path, [*trials, record("0002-2", [], "failed", beta=2.0)])


def test_repeats_have_a_table_of_configurations_by_mean_with_their_spread(repeated: SweepRecord) -> None:
    rows = tables(summary(repeated, []))["Configurations, by the mean over their seeds"]
    shown = [[row[name] for name in ("configuration", "beta", "validation ELBO", "standard deviation")] for row in rows]
    assert shown == [["0001", "1", "-101.00", "1.41"], ["0000", "0", "-103.00", "0.00"], ["0002", "2", "", ""]]
    assert [row["seeds"] for row in rows] == ["2", "2", "one failed"]


def test_autoencoders_configurations_are_shown_by_their_distortion(tmp_path: Path) -> None:
    trials = [of_autoencoder("0000-1", distortion=70.0), of_autoencoder("0000-2", distortion=73.0), of_vae("0001-1")]
    rows = tables(summary(sweep(tmp_path, trials), []))["Configurations, by the mean over their seeds"]
    assert [row["validation distortion"] for row in rows] == ["71.50", ""]
    assert [row["validation ELBO"] for row in rows] == ["", "-104.50"]
    assert [row["standard deviation"] for row in rows] == ["2.12", ""]


def test_without_repeats_there_is_no_such_table(tmp_path: Path) -> None:
    assert "Configurations" not in summary(sweep(tmp_path, [of_vae()]), [])


def test_only_the_first_ten_configurations_are_shown(tmp_path: Path) -> None:
    trials = [record(f"{number:04d}-1", [-100.0 - number]) for number in range(1200)]
    text = summary(sweep(tmp_path, trials), [])
    assert len(tables(text)["Configurations, by the mean over their seeds"]) == 10
    assert "and 1,190 more in leaderboard.csv" in text


# a front


FRONT = "The front of rate and distortion"


def two_objectives(points: dict[str, tuple[float, float]], state: State = "complete") -> list[TrialRecord]:
    """points: rate and distortion by trial."""
    trials = [record(name, [-rate - distortion], state, rate) for name, (rate, distortion) in points.items()]
    return [replace(one, metric="rate_distortion") for one in trials]


def test_a_front_has_a_table_of_its_trials_lowest_rate_first_with_their_numbers(tmp_path: Path) -> None:
    trials = two_objectives({"0001": (25.0, 90.0), "0002": (20.0, 80.0), "0003": (5.0, 120.0)})
    text = summary(sweep(tmp_path, trials, {"beta": {}}), [])
    assert "The 2 trials that no other beats in both" in text
    rows = tables(text)[FRONT]
    assert list(rows[0]) == ["trial", "beta", "rate", "distortion", "validation ELBO (epoch)"]
    assert [list(row.values()) for row in rows] == [
        ["0003", "1", "5.00", "120.00", "-125.00 (1)"],
        ["0002", "1", "20.00", "80.00", "-100.00 (1)"],
    ]


def test_a_front_of_nothing_yet_is_said_to_be_so(tmp_path: Path) -> None:
    assert "No trial has ended" in summary(sweep(tmp_path, two_objectives({"a": (10.0, 80.0)}, "running")), [])


def test_a_sweep_of_one_objective_has_no_front(tmp_path: Path) -> None:
    assert FRONT not in summary(sweep(tmp_path, [of_vae()]), [])


def test_fresh_seeds_stand_beside_what_the_search_found(tmp_path: Path) -> None:
    text = summary(searched_and_confirmed(tmp_path), [])
    first, second = tables(text)["The best, with fresh seeds"]
    assert (first["rank"], first["rank in the search"], first["configuration"]) == ("1", "2", "0002")
    assert (first["validation ELBO, fresh seeds"], first["in the search"], first["shrinkage"]) == (
        *("-101.00", "-100.50"),
        "0.50",
    )
    assert (second["standard deviation"], second["seeds"], second["shrinkage"]) == ("1.41", "2", "4.00")
    assert "fresh seeds find 0.50 nats less than the search did, the winner's curse." in text
    assert "1 and 2 cannot be told apart" in text
    assert "1 is ahead of 2 by 2.00 nats; a seed moves 1.41: not decided (95 % interval -4.08 to 8.08)." in text


def test_a_sweep_with_repeats_says_whether_its_first_is_ahead_by_more_than_a_seed_does(tmp_path: Path) -> None:
    trials = [record(f"{n:04d}-{k}", [elbo - k]) for n, elbo in enumerate((-100.0, -120.0)) for k in (1, 2, 3)]
    assert "0000 is ahead of 0001 by 20.00 nats; a seed moves 1.00: decided (95 %" in summary(
        sweep(tmp_path, trials), []
    )


def test_a_fresh_seed_that_failed_is_named_with_where_it_is(tmp_path: Path) -> None:
    of = searched_and_confirmed(tmp_path)
    assert of.confirmation is not None
    of.confirmation.trials[1].state, of.confirmation.trials[1].error = "failed", "RuntimeError: gone"
    assert summary(of, []).endswith("Failed trials:\n\n- confirm/0000-2: RuntimeError: gone\n")

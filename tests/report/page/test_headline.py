"""The head of the page in words."""

from pathlib import Path

from report.page.headline import best_lines, hints, warnings
from tests.material.fresh import searched_and_confirmed
from tests.material.reports import record, sweep
from tuning.records import SweepRecord, TrialRecord

NOWHERE = Path("nowhere")


def of(*trials: TrialRecord) -> SweepRecord:
    return sweep(NOWHERE, list(trials))


def test_the_best_is_named_with_its_lead_and_its_settings() -> None:
    lines = best_lines(of(record("0000", [-110.0]), record("0001", [-104.25], beta=0.5), record("0002", [-106.0])))
    assert lines[0] == (
        "Trial 0001: validation ELBO \N{MINUS SIGN}104.25 nats per image, "
        "at latent size 2, \N{GREEK SMALL LETTER BETA} 0.5, activation relu."
    )
    assert lines[1] == "It is 1.75 nats ahead of trial 0002."
    assert "one seed" in lines[2]


def test_the_spread_over_seeds_stands_beside_the_mean() -> None:
    trials = [record("0000-1", [-100.0]), record("0000-2", [-102.0]), record("0001-1", [-110.0])]
    line = best_lines(of(*trials))[0]
    assert line.startswith("Configuration 0000: validation ELBO \N{MINUS SIGN}101.00 \N{PLUS-MINUS SIGN} 1.41")


def test_a_sweep_without_a_finite_epoch_has_no_best() -> None:
    assert best_lines(of(record("0000", [], "failed"))) == []


def test_failures_are_counted_by_cause() -> None:
    trials = [record(f"{k:04d}", [], "failed") for k in range(3)]
    for one, error in zip(
        trials, ("diverged in epoch 3", "diverged in epoch 12", "Traceback\nOSError: full"), strict=True
    ):
        one.error = error
    assert warnings(of(*trials)) == ["2 trials failed: diverged in epoch 3", "1 trial failed: OSError: full"]


def test_what_was_odd_about_the_machines_is_a_warning_once() -> None:
    hardware = {"notes": ["node 10.0.0.2: torch cannot use its GPU"]}
    lost, slower = "node 10.0.0.3 was lost, its trial goes on elsewhere", "trains uncompiled, and slower: no compiler"
    sweep = of(record("0000", [-100.0]))
    sweep.manifest["runs"] = [
        {"hardware": hardware, "notes": [slower, lost]},
        {"hardware": hardware, "notes": [slower]},
    ]
    first, *others = warnings(sweep)
    assert [first, *others[:2]] == [*hardware["notes"], slower, lost]
    assert others[2:] == ["The sweep ran in 2 parts: it was resumed 1 time."]


def test_a_range_whose_edge_the_best_crowd_should_be_wider() -> None:
    betas = [9.5, 9.0, 9.8, 8.0, 7.5, 1.0, 0.5, 0.2, 2.0, 3.0]
    best_first = [record(f"{k:04d}", [-100.0 - k], beta=beta, latent_size=8) for k, beta in enumerate(betas)]
    best_last = [record(f"{k:04d}", [-100.0 + k], beta=beta, latent_size=8) for k, beta in enumerate(betas)]
    line = "The best 5 trials crowd the edge of \N{GREEK SMALL LETTER BETA}: try values above 10."
    assert hints(of(*best_first)) == [line]
    assert hints(of(*best_last)) == []


def test_the_head_goes_by_fresh_seeds_and_says_what_the_search_had_found() -> None:
    lines = best_lines(searched_and_confirmed(NOWHERE))
    assert lines[0].startswith(
        "Configuration 0002: validation ELBO \N{MINUS SIGN}101.00 \N{PLUS-MINUS SIGN} 1.41 "
        "(mean and standard deviation of 2 fresh seeds) nats per image, at latent size 2"
    )
    assert lines[1].startswith("It is 2.00 nats ahead of configuration 0001; a seed moves 1.41: not decided (95 %")
    assert lines[2].startswith("1 and 2 cannot be told apart")
    assert lines[3] == (
        "The search had it at rank 2; fresh seeds find 0.50 nats less than the search did, the winner's curse."
    )


def test_a_lead_is_compared_with_what_a_seed_does_where_that_is_known() -> None:
    trials = [record(f"{n:04d}-{k}", [elbo - k]) for n, elbo in enumerate((-100.0, -120.0)) for k in (1, 2, 3)]
    assert (
        "20.00 nats ahead of configuration 0001; a seed moves 1.00: decided (95 % interval"
        in best_lines(of(*trials))[1]
    )

import argparse
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.cluster.allot import Request
from tuning.errors import SpaceError
from tuning.options import changes, overrides, parse, request
from tuning.space.overrides import Overrides


def parse_line(line: str) -> argparse.Namespace:
    return parse(shlex.split(line))


def test_a_space_alone_is_enough() -> None:
    options = parse(["--space", "beta_study"])
    assert overrides(options) == Overrides()
    assert request(options) == Request()
    assert (options.name, options.seed, options.top_k, options.storage, options.dry_run) == (None, None, 3, None, False)


def test_every_option_is_taken() -> None:
    options = parse_line(
        "--space quick --name n --trials 7 --epochs 8 --dataset digits --data-dir d --storage s3://b/x --seed 5 "
        "--top-k 2 --cpus-per-trial 4 --gpus-per-trial 0.25 --max-concurrent 6 --time-budget 90m --set beta=1 "
        "--set scheduler.type=none --address auto --dry-run --verbose --pack 16"
    )
    assert overrides(options) == Overrides(7, 8, "digits", ["beta=1", "scheduler.type=none"])
    assert request(options) == Request(
        address="auto", cpus_per_trial=4, gpus_per_trial=0.25, max_concurrent=6, pack=16, verbose=True
    )
    assert (options.name, options.storage, options.seed, options.top_k) == ("n", "s3://b/x", 5, 2)
    assert (options.data_dir, options.time_budget, options.dry_run) == (Path("d"), 5400.0, True)


def test_failed_trials_are_retried_of_a_sweep_that_is_resumed_only() -> None:
    assert parse_line("--resume it --retry-failed").retry_failed
    assert not parse_line("--resume it").retry_failed
    with pytest.raises(SpaceError, match=r"^--retry-failed: only with --resume NAME; the failed trials of that sweep"):
        parse_line("--space quick --retry-failed")


def test_settings_of_two_command_lines_do_not_mix() -> None:
    assert parse(["--space", "quick", "--set", "beta=1"]).settings == ["beta=1"]
    assert parse(["--space", "quick"]).settings == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5h", 5400), ("30m", 1800), ("30min", 1800), ("2d", 172_800), ("2 h", 7200)],
)
def test_a_time_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse(["--space", "quick", "--time-budget", text]).time_budget == seconds


@pytest.mark.parametrize(("text", "pack"), [("auto", None), ("off", 0), ("1", 1), ("1024", 1024)])
def test_a_pack_is_chosen_or_off_or_of_so_many(text: str, pack: int | None) -> None:
    assert parse(["--space", "quick", "--pack", text]).pack == pack


@pytest.mark.parametrize(("text", "n_bytes"), [("500M", 500 * 2**20), ("1.5G", 3 * 2**29), ("2 TiB", 2**41)])
def test_a_size_is_of_mebibytes_gibibytes_or_tebibytes(text: str, n_bytes: int) -> None:
    assert parse(["--space", "quick", "--max-disk", text]).max_disk == n_bytes


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("0.125", 0.125), ("1", 1), ("1e-1", 0.1)])
def test_a_trial_takes_a_share_of_a_gpu_or_one(text: str, share: float) -> None:
    assert parse(["--space", "quick", "--gpus-per-trial", text]).gpus_per_trial == share


WHOLE_FROM_1 = "allowed: a whole number from 1"
BAD_VALUES = [
    *[("--trials", text, WHOLE_FROM_1) for text in ("0", "-1", "1.5", "many", "", "1e3", "1_0", "9" * 40)],
    *[
        (flag, text, "allowed: a text that is not empty")
        for flag in ("--space", "--resume", "--report", "--name", "--storage", "--address")
        for text in ("", " ")
    ],
    *[("--epochs", text, WHOLE_FROM_1) for text in ("0", "x")],
    *[("--cpus-per-trial", text, WHOLE_FROM_1) for text in ("0", "0.5")],
    *[("--max-concurrent", text, WHOLE_FROM_1) for text in ("0", "-3")],
    *[("--seed", text, "allowed: a whole number from 0") for text in ("-1", "1.0", "0x10")],
    *[("--top-k", text, "allowed: a whole number from 0") for text in ("-1", "all")],
    *[("--keep-models", text, WHOLE_FROM_1) for text in ("0", "all")],
    *[
        ("--max-disk", text, "allowed: a number with M, G or T, such as 20G")
        for text in ("0G", "-1G", "20", "1K", "G", "1e3G", "inf", "")
    ],
    *[
        ("--gpus-per-trial", text, "allowed: from 0 to 1, as a trial trains on one GPU at the most")
        for text in ("-0.5", "1.5", "2", "nan", "inf", "half", "1e400", "")
    ],
    *[
        ("--pack", text, "allowed: auto, off, or a whole number from 1 to 1024")
        for text in ("0", "1025", "-1", "on", "", "1.5")
    ],
    *[
        ("--time-budget", text, "allowed: a number with s, m, h or d, such as 30m")
        for text in ("0", "0s", "-5m", "1w", "h", "1e3", "inf", "", "5 5m")
    ],
]


@pytest.mark.parametrize(("flag", "text", "allowed"), BAD_VALUES)
def test_a_bad_value_is_one_line_with_what_is_allowed(flag: str, text: str, allowed: str) -> None:
    with pytest.raises(SpaceError, match=f"^argument {flag}: ") as refused:
        parse(["--space", "quick", f"{flag}={text}"])
    assert str(refused.value) == f"argument {flag}: '{text}'; {allowed}; see python sweep.py --help"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dry-run"],
        ["--space", "a", "--resume", "b"],
        ["--resume", "a", "--report", "b"],
        ["--space", "a", "--list-spaces"],
        ["--space", "a", "--resume", "b", "--report", "c", "--list-spaces"],
        ["--status", "a", "--stop", "a"],
        ["--list", "--add", "a", "beta=1"],
    ],
)
def test_exactly_one_thing_to_do_must_be_given(arguments: list[str]) -> None:
    with pytest.raises(SpaceError, match=r"^give one of --space NAME, --resume NAME, --report NAME, --list-spaces, "):
        parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--spaces", "x"], "unrecognized arguments: --spaces x"),
        (["--space"], "argument --space: expected one argument"),
        (["--space", "x", "extra"], "unrecognized arguments: extra"),
        (["--space", "x", "--gpus", "all"], "argument --gpus-per-trial"),
        (["--space", "x", "--t", "3"], "ambiguous option: --t could match"),
    ],
)
def test_an_option_that_is_none_is_one_line(arguments: list[str], problem: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(problem)) as refused:
        parse(arguments)
    assert str(refused.value).endswith("see python sweep.py --help")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flag", "arguments"),
    [
        ("name", ["--name", "other"]),
        ("epochs", ["--epochs", "3"]),
        ("dataset", ["--dataset", "mnist"]),
        ("seed", ["--seed", "1"]),
        ("seed", ["--seed", "0"]),
        ("set", ["--set", "beta=1"]),
        ("dry-run", ["--dry-run"]),
    ],
)
def test_a_resumed_sweep_keeps_what_decides_its_numbers(flag: str, arguments: list[str]) -> None:
    with pytest.raises(SpaceError, match=f"^--{flag} with --resume: a resumed sweep keeps what it was started with$"):
        parse(["--resume", "x", *arguments])


def test_a_resumed_sweep_may_have_more_trials_and_other_machines() -> None:
    options = parse_line(
        "--resume x --trials 300 --storage s --top-k 5 --data-dir d --address auto --cpus-per-trial 2 "
        "--gpus-per-trial 0.5 --max-concurrent 3 --pack 8 --time-budget 1h --verbose"
    )
    assert (options.resume, options.trials) == ("x", 300)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])
    printed = capsys.readouterr().out
    for flag in ("--space", "--list-spaces", "--name", "--trials", "--epochs", "--dataset", "--data-dir", "--storage"):
        assert flag in printed
    for flag in ("--seed", "--top-k", "--cpus-per-trial", "--gpus-per-trial", "--max-concurrent", "--time-budget"):
        assert flag in printed
    for flag in ("--set", "--address", "--resume", "--report", "--dry-run"):
        assert flag in printed


@given(
    st.lists(st.one_of(st.sampled_from(["--space", "--trials", "--set", "--resume", "-", "--"]), st.text(max_size=5)))
)
def test_any_command_line_is_understood_or_refused_in_words(arguments: list[str]) -> None:
    if any(argument in ("-h", "--h", "--he", "--hel") for argument in arguments):
        return
    try:
        assert parse(arguments) is not None
    except SpaceError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "given",
    [
        ["--trials", "3"],
        ["--seed", "0"],
        ["--set", "beta=1"],
        ["--pack", "off"],
        ["--cpus-per-trial", "2"],
        ["--dry-run"],
    ],
)
def test_what_means_nothing_to_a_report_is_refused_beside_it(given: list[str]) -> None:
    with pytest.raises(SpaceError, match=rf"^{given[0]} with --report: nothing is trained"):
        parse(["--report", "x", *given])


@pytest.mark.parametrize("line", ["--space x --trials 3", "--resume x --trials 3", "--report x --top-k 5"])
def test_the_parser_is_built_once_for_a_command_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = argparse.ArgumentParser.__init__
    monkeypatch.setattr(argparse.ArgumentParser, "__init__", lambda *a, **k: built.append(1) or build(*a, **k))
    parse_line(line)
    assert len(built) == 1


def test_a_report_takes_where_the_sweep_and_the_images_are_and_how_many_are_shown() -> None:
    options = parse(["--report", "x", "--top-k", "5", "--storage", "elsewhere", "--data-dir", "images"])
    assert (options.report, options.top_k, options.storage, options.data_dir) == ("x", 5, "elsewhere", Path("images"))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("--confirm", {"top": 5, "seeds": 4}),
        ("--confirm 3x2", {"top": 3, "seeds": 2}),
        ("--confirm 3x2x100", {"top": 3, "seeds": 2, "epochs": 100}),
    ],
)
@pytest.mark.parametrize("of", ["--space quick", "--resume it"])
def test_a_confirmation_is_asked_of_a_new_sweep_and_of_one_that_there_is(
    of: str, line: str, wanted: dict[str, int]
) -> None:
    options = parse_line(f"{of} {line}")
    assert options.confirm == wanted
    assert overrides(options).confirm == changes(options)["confirm"] == wanted


@pytest.mark.parametrize("text", ["5", "5x1", "0x4", "5x4x0", "x4", "5x4x", "best", "-1x4"])
def test_a_confirmation_needs_two_seeds_at_the_least(text: str) -> None:
    with pytest.raises(SpaceError, match=r"allowed: how many of the best x how many seeds|expected one argument"):
        parse(["--space", "quick", f"--confirm={text}"])


def test_nothing_is_confirmed_where_nothing_is_trained() -> None:
    with pytest.raises(SpaceError, match=r"^--confirm with --report: nothing is trained"):
        parse_line("--report it --confirm")
    with pytest.raises(SpaceError, match=r"^--confirm with --status: nothing is started"):
        parse_line("--status it --confirm")

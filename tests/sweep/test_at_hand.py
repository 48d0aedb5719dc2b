"""A sweep that is looked at and driven from another shell while it runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.material.sweeps import events, ledger, metrics, run, start, succeed

pytestmark = pytest.mark.slow

LONG = ("--set", "scheduler.type=none", "--epochs", "100000", "--max-concurrent", "2", "--top-k", "0")
SWEEP = ("--space", "quick", "--name", "it", "--trials", "5", *LONG, "--notify", "cat > told.json")


def as_json(*arguments: str, cwd: Path) -> Any:
    return json.loads(succeed(*arguments, "--json", cwd=cwd).stdout)


def proposed(folder: Path) -> dict[str, dict[str, Any]]:
    return {line["trial"]: line["params"] for line in ledger(folder) if line["event"] == "proposed"}


def test_a_sweep_is_looked_at_added_to_and_stopped_from_another_shell(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*SWEEP, cwd=tmp_path) as sweep:
        sweep.until(lambda: all(metrics(folder, trial) for trial in ("0000", "0001")), "two trials")
        seen = as_json("--status", "it", cwd=tmp_path)
        assert (seen["state"], seen["trials"]["running"]) == ("running", 2)
        assert seen["best"]["val_elbo"] < 0
        assert [one["name"] for one in as_json("--list", cwd=tmp_path)] == ["it"]

        succeed("--add", "it", "latent_size=9,beta=3", cwd=tmp_path)
        succeed("--stop", "it", "--trial", "0000", cwd=tmp_path)
        sweep.until(lambda: "0002" in events(folder, "started"), "the next trial")
        (ended,) = [line for line in ledger(folder) if line["event"] == "finished"]
        assert (ended["trial"], ended["state"]) == ("0000", "pruned")
        assert {name: proposed(folder)["0002"][name] for name in ("latent_size", "beta")} == {
            "latent_size": 9,
            "beta": 3.0,
        }
        sweep.until(lambda: not list((folder / "requests").iterdir()), "the end of both requests")

        answer = as_json("--stop", "it", cwd=tmp_path)
        assert (answer["exit_code"], answer["state"]) == (0, "stopped")
        ended_sweep = sweep.wait()
    assert ended_sweep.code == 130, ended_sweep.told
    assert "nothing is lost" in ended_sweep.stdout
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["exit_code"], told["state"], told["trials"]["pruned"]) == (130, "stopped", 1)

    # What is asked of a sweep that nobody runs waits until it goes on, and a driver that is killed loses none of it.
    succeed("--add", "it", "latent_size=3,beta=0.5", cwd=tmp_path)
    for trial in ("0001", "0002"):
        succeed("--stop", "it", "--trial", trial, cwd=tmp_path)
    with start("--resume", "it", "--max-concurrent", "2", "--top-k", "0", cwd=tmp_path) as sweep:
        sweep.until(lambda: "0003" in events(folder, "started"), "the wanted trial")
        sweep.kill_session()
    assert {name: proposed(folder)["0003"][name] for name in ("latent_size", "beta")} == {"latent_size": 3, "beta": 0.5}
    assert sorted(events(folder, "finished"))[:2] == ["0000", "0001"]
    assert sum(params.get("latent_size") == 3 and params["beta"] == 0.5 for params in proposed(folder).values()) == 1


def test_scripts_get_one_object_on_stdout_whatever_happens(tmp_path: Path) -> None:
    ended = run("--space", "quick", "--trials", "0", "--json", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (2, "")
    assert json.loads(ended.stdout)["error"].startswith("argument --trials: '0'; allowed: a whole number from 1")
    ended = run(
        "--space", "quick", "--name", "it", "--trials", "1", "--epochs", "2", "--top-k", "0", "--json", cwd=tmp_path
    )
    assert ended.code == 0, ended.told
    answer = json.loads(ended.stdout)
    assert (answer["name"], answer["state"], answer["trials"]["complete"]) == ("it", "finished", 1)
    assert "Running on 1 node" in ended.stderr
    again = as_json("--reproduce", "it", "0000", cwd=tmp_path)
    assert (again["n_epochs"], again["difference"], again["is_equal"]) == (2, 0.0, True)

"""The faults, by name. Each is what may befall a sweep, and what the sweep must do about it there and then."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.arena import Arena, SkippedError, UnexpectedError, expected, refused
from benchmarks.chaos.schedule import Strike

SILENT_SECONDS = (2.0, 8.0)  # that a bucket does not answer
OF_A_TRIAL = ("VaeTrial", "ResourceTrainable")
Fault = Callable[[Arena, Strike], None]


def strike(arena: Arena, one: Strike) -> None:
    """Wait until the sweep is as far as the schedule says, then do it.

    Raises LateError, SkippedError, UnexpectedError.
    """
    arena.until(one.progress)
    FAULTS[one.fault](arena, one)


# ---- the driver


def driver_killed(arena: Arena, one: Strike) -> None:
    arena.wait(arena.live, one.chance)
    arena.kill()


def machine_killed(arena: Arena, one: Strike) -> None:
    """Driver, Ray and workers at once."""
    arena.wait(arena.live, one.chance)
    arena.kill(whole=True)


def killed_at_its_start(arena: Arena, one: Strike) -> None:
    """kill -9 at some moment of the command that starts the sweep."""
    arena.wait(arena.live, one.chance * arena.start_seconds)
    arena.kill(whole=one.chance < 0.5)


def killed_as_it_resumes(arena: Arena, one: Strike) -> None:
    """kill -9 twice: of the driver, and at some moment of the command that resumes the sweep."""
    arena.kill()
    arena.wait(arena.begin(), one.chance * arena.start_seconds)
    arena.kill()


def killed_as_ray_starts(arena: Arena, one: Strike) -> None:
    arena.kill()
    process = arena.begin()
    arena.until_said(process, "Ray")
    arena.wait(process, one.chance * arena.start_seconds / 2)
    arena.kill(whole=one.chance < 0.5)


def sigterm(arena: Arena, one: Strike) -> None:
    arena.live.send(signal.SIGTERM)
    arena.ended(130, 0)


def ctrl_c(arena: Arena, one: Strike) -> None:
    arena.live.press_ctrl_c()
    arena.ended(130, 0)


def second_driver(arena: Arena, one: Strike) -> None:
    """A second --resume beside the first, from the same directory, is refused; the first goes on."""
    other = arena.resume()
    arena.wait(other, 120)
    refused(other.wait(1), "another process runs this sweep")


def driver_taken_over(arena: Arena, one: Strike) -> None:
    """A second --resume from another directory takes a bucket's sweep over; the first stops."""
    elsewhere = arena.cwd.with_name(f"{arena.cwd.name}-taken")
    elsewhere.mkdir()
    other = arena.resume(elsewhere)
    first = expected(arena.ended(2, 0), 2, 0)
    if first.code == 2:
        last = first.stderr.splitlines()[-1]
        if "another driver has taken this sweep over; this one stops" not in last:
            raise UnexpectedError(f"allowed: a last line that says who has the sweep\n{first.told}")
    arena.process, arena.cwd = other, elsewhere


def driver_moves(arena: Arena, one: Strike) -> None:
    """The machine dies, and the sweep is resumed from another directory."""
    arena.kill(whole=True)
    arena.cwd = arena.cwd.with_name(f"{arena.cwd.name}-moved")
    arena.cwd.mkdir()


# ---- what trains


def worker_killed(arena: Arena, one: Strike) -> None:
    _kill_one(arena, one, *OF_A_TRIAL)


def trainer_killed(arena: Arena, one: Strike) -> None:
    _kill_one(arena, one, "Trainer")


def broker_killed(arena: Arena, one: Strike) -> None:
    _kill_one(arena, one, "Broker")


def _kill_one(arena: Arena, one: Strike, *kinds: str) -> None:
    """kill -9 of one such process; wait for one where there is none yet."""
    found: list[int] = []
    while arena.wait(arena.live, 0.1) and not (found := arena.workers(*kinds)):
        pass
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[int(one.chance * len(found))], signal.SIGKILL)


def node_replaced(arena: Arena, one: Strike) -> None:
    """A node dies, and another one joins."""
    arena.nodes.pop().process.kill_session()
    arena.wait(arena.live, one.chance * 5)
    arena.join_node()


# ---- storage


def disk_full(arena: Arena, one: Strike) -> None:
    """The sweep ends, says why, and goes on once there is room again."""
    if not arena.on_tmpfs or arena.folder is None:
        raise SkippedError("no tmpfs can be mounted here")
    filler = arena.folder.parent / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        ended = arena.ended(2, 0)
    finally:
        filler.unlink()
    if ended.code == 2 and "No space left on device" not in ended.stderr:
        raise UnexpectedError(f"allowed: a line on the full disk\n{ended.told}")


def bucket_silent(arena: Arena, one: Strike) -> None:
    """Its server stands still: requests wait."""
    assert arena.server is not None
    arena.server.pause()
    try:
        time.sleep(_silence(one))
    finally:
        arena.server.go_on()


def network_cut(arena: Arena, one: Strike) -> None:
    """Connections to the bucket break, and new ones are refused."""
    assert arena.server is not None
    process = arena.live
    arena.server.cable.cut()
    try:
        time.sleep(_silence(one))
    finally:
        arena.server.cable.mend()
    arena.until_begun(process, "cannot be reached")


def _silence(one: Strike) -> float:
    least, most = SILENT_SECONDS
    return least + one.chance * (most - least)


def ledger_cut(arena: Arena, one: Strike) -> None:
    """Its end is gone from some byte on: what it no longer has did not happen, and is made again."""
    _stop(arena, one)
    cut(_path(arena, "ledger.jsonl"), one.chance)


def study_cut(arena: Arena, one: Strike) -> None:
    """The study is made again from the ledger."""
    _stop(arena, one)
    cut(_path(arena, "study.journal"), one.chance)


def checkpoint_cut(arena: Arena, one: Strike) -> None:
    """Of a trial that has not finished, if any has one: the trial trains again."""
    arena.live.send(signal.SIGTERM)  # the trials that run keep a checkpoint
    arena.ended(130, 0)
    ledger = _path(arena, "ledger.jsonl").read_text()
    found = sorted(_path(arena, "trials").glob("**/checkpoint.safetensors"))
    unfinished = [path for path in found if f'"finished", "trial": "{_trial_of(path)}"' not in ledger]
    for path in unfinished[:1]:
        cut(path, one.chance)


def _trial_of(path: Path) -> str:
    return next(part for part in reversed(path.parts) if part.isdecimal())


def ledger_damaged(arena: Arena, one: Strike) -> None:
    """A line in its middle is no event: refused in one line, and nothing is changed."""
    _stop(arena, one)
    path = _path(arena, "ledger.jsonl")
    whole = path.read_bytes()
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")]
    at = ends[int(one.chance * len(ends))] - 1 if ends else 0
    path.write_bytes(whole[:at] + b"\0" + whole[at + 1 :])
    _refused_and_put_back(arena, path, whole, "is not JSON")


def manifest_cut(arena: Arena, one: Strike) -> None:
    """Refused in one line, and nothing is changed; put back from a copy, the sweep goes on."""
    _stop(arena, one)
    path = _path(arena, "manifest.json")
    whole = path.read_bytes()
    cut(path, min(one.chance, 1 - 3 / len(whole)))
    _refused_and_put_back(arena, path, whole, "manifest.json")


def _refused_and_put_back(arena: Arena, path: Path, whole: bytes, text: str) -> None:
    before = _contents(path.parent)
    refused_one = arena.resume()
    arena.wait(refused_one, 120)
    refused(refused_one.wait(1), text)
    if changed := [name for name, content in _contents(path.parent).items() if before.get(name) != content]:
        raise UnexpectedError(f"the refused --resume has changed {', '.join(changed)}")
    path.write_bytes(whole)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _stop(arena: Arena, one: Strike) -> None:
    """Whatever is damaged is damaged while no driver runs, and no worker that a driver left."""
    if one.chance < 0.5:
        return arena.kill(whole=True)
    arena.live.send(signal.SIGTERM)
    arena.ended(130, 0)


def _path(arena: Arena, name: str) -> Path:
    assert arena.folder is not None
    return arena.folder / name


def cut(path: Path, share: float) -> None:
    """Keep this share of a file's bytes."""
    if path.exists():
        os.truncate(path, int(share * path.stat().st_size))


FAULTS: dict[str, Fault] = {
    "driver killed": driver_killed,
    "machine killed": machine_killed,
    "killed at its start": killed_at_its_start,
    "killed as it resumes": killed_as_it_resumes,
    "killed as Ray starts": killed_as_ray_starts,
    "SIGTERM": sigterm,
    "Ctrl-C": ctrl_c,
    "second driver": second_driver,
    "driver taken over": driver_taken_over,
    "driver moves": driver_moves,
    "worker killed": worker_killed,
    "trainer killed": trainer_killed,
    "broker killed": broker_killed,
    "node replaced": node_replaced,
    "disk full": disk_full,
    "bucket silent": bucket_silent,
    "network cut": network_cut,
    "ledger cut": ledger_cut,
    "ledger damaged": ledger_damaged,
    "manifest cut": manifest_cut,
    "study cut": study_cut,
    "checkpoint cut": checkpoint_cut,
}

"""The commands that start no sweep: they list what there is, look at a sweep, or ask something of one that runs."""

import argparse
import math
from dataclasses import asdict

from tuning.layout import DEFAULT_STORAGE
from tuning.space.load import list_spaces
from tuning.store import place
from tuning.view.console import CONSOLE, say
from tuning.view.ending import Ending
from tuning.view.status import listing, listing_table, status, told


def at_hand(chosen: argparse.Namespace, ending: Ending) -> int:
    """The exit code. Raises UserError."""
    CONSOLE.quiet = chosen.json  # the answer is all that there is to say
    if chosen.list_spaces:
        ending.result = list_spaces()
        say("\n".join(f"{name:20} {description}" for name, description in ending.result.items()))
    elif chosen.list:
        ending.result = listing(place.sweeps_in(chosen.storage))
        if ending.result:
            CONSOLE.print(listing_table(ending.result))
        else:
            say(f"No sweep in {chosen.storage or DEFAULT_STORAGE}; start one: python sweep.py --space quick")
    elif chosen.reproduce:
        return _reproduced(chosen, ending)
    elif chosen.status:
        ending.result = status(place.locate(chosen.storage, chosen.status, "--status"))
        say(told(ending.result))
    else:
        say(_asked(chosen, ending))
    return 0


def _reproduced(chosen: argparse.Namespace, ending: Ending) -> int:
    from tuning.sweep.reproduce import reproduce  # brings torch

    name, trial_id = chosen.reproduce
    found = place.locate(chosen.storage, name, "--reproduce")
    place.open_existing(found)
    reproduction = reproduce(found, trial_id, chosen.data_dir, say)
    ending.result = {**asdict(reproduction), "is_equal": reproduction.is_equal}
    if math.isinf(reproduction.difference):
        ending.result["difference"] = None  # JSON has no infinity
    say(str(reproduction))
    return 0 if reproduction.is_equal else 1


def _asked(chosen: argparse.Namespace, ending: Ending) -> str:
    """A line on what came of --stop or --add."""
    from tuning.sweep import ask  # brings NumPy: the commands above are told in less than a second

    if chosen.add:
        name, values = chosen.add
        ending.storage = place.locate(chosen.storage, name, "--add")
        return ask.add(ending.storage, values)
    ending.storage = place.locate(chosen.storage, chosen.stop, "--stop")
    return ask.stop_trial(ending.storage, chosen.trial) if chosen.trial else ask.stop(ending.storage)

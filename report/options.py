"""The command line of `python -m report`: a flag for every field of FigureOptions, generated from it."""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from report.drawing.checkpoint.figures import FIGURES
from report.drawing.checkpoint.options import FigureOptions, flag
from report.drawing.style import FORMATS, Format
from vae.cli.arguments import Parser, allowed
from vae.datasets.names import default_data_dir
from vae.errors import UserError

ANIMATIONS, PROJECTOR = "animations", "projector"
ABOUT = "Draw the figures of one trained model, or make one page that compares several sweeps."
FOLDER = "holds model.safetensors: from `python -m vae`, best/1, trials/ID; two or more: the folders of sweeps"
NAMES = (*FIGURES, ANIMATIONS, PROJECTOR)  # what can be drawn


@dataclass(frozen=True)
class Options:
    """The checked command line. only: some of NAMES; () draws all that the model has. others: sweeps to compare with
    the one in `folder`; () where it holds a model."""

    folder: Path
    data_dir: Path
    out: Path
    only: tuple[str, ...]
    figures: FigureOptions
    format: Format = "png"
    others: tuple[Path, ...] = ()

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


def parse(arguments: Sequence[str] | None) -> Options:
    """Raises UserError with every fault, one per line."""
    given, unknown = _parser().parse_known_args(arguments)
    named = {name: value for name, value in vars(given).items() if name in FigureOptions.model_fields}
    only = tuple(name.strip() for name in given.only.split(",")) if given.only is not None else ()
    faults = [_unknown(word) for word in unknown if word.startswith("-")] or list(map(_unknown, unknown))
    if given.format not in FORMATS:
        faults.append(f"--format {given.format}: must be one of {', '.join(FORMATS)}")
    faults += [_not_drawn(name) for name in only if name not in NAMES] + _faults(named)
    folder, *others = given.folder
    if others:
        words = [*map(flag, named), *(["--only"] if only else [])]
        faults += [f"{word}: of the figures of one model, but {len(given.folder)} folders are given" for word in words]
    if faults:
        raise UserError("\n".join(faults))
    figures = FigureOptions.model_validate_strings(named | ({"tsne": "true"} if "tsne" in only else {}))
    out = given.out or (Path("compared") if others else folder / "figures")
    return Options(folder, given.data_dir, out, only, figures, given.format, tuple(others))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m report", description=ABOUT, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="+", help=FOLDER)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="default: VAE_DATA_DIR, or data/")
    parser.add_argument(
        "--out", type=Path, help="folder for what is drawn; default: FOLDER/figures, of sweeps compared"
    )
    parser.add_argument("--format", default="png", metavar="F", help=f"of the figures: {', '.join(FORMATS)}")
    parser.add_argument("--only", metavar="NAME,...", help=f"draw these alone, of {', '.join(NAMES)}")
    figures = parser.add_argument_group("figures")
    for name, field in FigureOptions.model_fields.items():
        if field.annotation is bool:
            keywords: dict[str, Any] = {"action": "store_const", "const": "true", "help": field.description}
        else:
            about = f"{field.description} {allowed(name, FigureOptions).capitalize()} (default {field.default})."
            keywords = {"metavar": "X", "help": about.replace("%", "%%")}
        figures.add_argument(flag(name), default=argparse.SUPPRESS, **keywords)
    return parser


def _faults(named: dict[str, str]) -> list[str]:
    try:
        FigureOptions.model_validate_strings(named)
    except ValidationError as error:
        names = [str(fault["loc"][0]) for fault in error.errors()]
        return [f"{flag(name)} {named[name]}: must be {allowed(name, FigureOptions)}" for name in names]
    return []


def _not_drawn(name: str) -> str:
    return f"--only {name}: no such figure{_near(name, NAMES)}; allowed: {', '.join(NAMES)}"


def _unknown(word: str) -> str:
    flags = [*map(flag, FigureOptions.model_fields), "--data-dir", "--out", "--format", "--only"]
    return f"{word}: no such flag{_near(word.partition('=')[0], flags) or '; --help lists what there is'}"


def _near(word: str, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {close[0]}?" if close else ""

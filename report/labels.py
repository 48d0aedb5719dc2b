"""Hyperparameters in the words of a figure: "latent size 5", "salt and pepper"."""

from collections.abc import Iterable
from typing import Any

from vae.cli.format import shown

BETA = "\N{GREEK SMALL LETTER BETA}"


def name_of(hyperparameter: str) -> str:
    """latent_size -> 'latent size'."""
    return BETA if hyperparameter == "beta" else hyperparameter.replace("_", " ")


def words(choice: str) -> str:
    """decoder_only -> 'decoder only'."""
    return choice.replace("salt_pepper", "salt and pepper").replace("_", " ")


def named(hyperparameter: str, value: Any) -> str:
    """'latent size 5', 'beta 0.3142', 'autoencoder'. A choice is named if it says nothing alone: 'noise none'."""
    if isinstance(value, str):
        return f"{name_of(hyperparameter)} none" if value == "none" else words(value)
    return f"{name_of(hyperparameter)} {shown(value)}"


def filled(parts: Iterable[str], n_characters: int) -> str:
    """Join the parts with ', '; break the line between two parts if it would become too long."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= n_characters:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


def counted(n: int, noun: str) -> str:
    """'1 trial', '1,200 trials'."""
    return f"{n:,} {noun}{'s' * (n != 1)}"

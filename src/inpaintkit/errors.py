"""The errors this package raises on purpose. Each message is one line: what was given, what is expected, what to do."""

import difflib
from collections.abc import Iterable


class InpaintError(Exception):
    """Anything a person can mend. The message is one line; the command line prints it without a traceback."""


class UsageError(InpaintError):
    """The call itself is wrong: an unknown name, options that exclude each other (command line exit status 2)."""


class PhotoError(InpaintError):
    """A photo cannot be read, understood or written."""


class MaskError(InpaintError):
    """A mask cannot be read or does not fit its photo."""


class ModelError(InpaintError):
    """A model file, checkpoint or engine cannot be used."""


class RecipeError(UsageError):
    """A recipe has an unknown key or a value out of range."""


class Cancelled(InpaintError):
    """A fill was stopped by its progress listener; nothing has changed, save what was to be filled in place."""


class DataError(InpaintError):
    """A data set is empty or cannot be read."""


def unknown_name(kind: str, given: str, valid: Iterable[str]) -> str:
    """The message for a name that is not in a table: names the nearest valid one and lists them all."""
    names = sorted(valid)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown {kind} '{given}': {hint}valid are {', '.join(names)}"

"""Arguments of the right kind and in their range, or an error that names them. Free of NumPy and the native core."""

from numbers import Integral, Real
from typing import Any

from mithril._errors import InvalidArgumentError

__all__ = ["check_choice", "check_flag", "check_integer", "check_number"]


def check_integer(name: str, value: Any, least: int, most: int) -> None:
    """An integer, of NumPy too, but no bool."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InvalidArgumentError(f"{name} {value!r} is not an integer")
    if not least <= int(value) <= most:
        raise InvalidArgumentError(f"{name} {value} is not within {least} to {most}")


def check_number(name: str, value: Any) -> None:
    """A real number, but no bool."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InvalidArgumentError(f"{name} {value!r} is not a number")


def check_flag(name: str, value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} {value!r} is neither True nor False")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """One of these words."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgumentError(f"{name} {value!r} is not one of {', '.join(choices)}")

"""The entry point: runs a command and turns whatever happens into one line and an exit code."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mithril._errors import (
    CorruptError,
    InvalidArgumentError,
    NotFoundError,
    TruncatedError,
    UnsupportedError,
    UntrustedError,
)
from mithril.cli import _exit_codes as codes
from mithril.cli._output import note

if TYPE_CHECKING:
    import click


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mithril` with these arguments, by default those of the process. Returns the exit code."""
    try:
        import click  # noqa: F401  only its absence matters here
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        _say(_missing(error))
        return codes.WRONG_USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that know less than Unicode
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.BROKEN_PIPE


def dedup_main() -> int:
    """Run `mithril-dedup`, which is `mithril dedup`. Returns the exit code."""
    return main(["dedup", *sys.argv[1:]])


def _run(arguments: list[str]) -> int:
    import click

    from mithril.cli._root import root

    flags = {"debug": False}
    try:
        # Not root.main(): it takes every EOFError, thus a TruncatedError, for the end of the terminal's input.
        with root.make_context("mithril", arguments, obj=flags) as context:
            return root.invoke(context) or codes.FINE
    except click.exceptions.Exit as done:  # of --help and --version
        return done.exit_code
    except (KeyboardInterrupt, click.Abort):
        return codes.INTERRUPTED
    except click.ClickException as error:
        _say(_usage(error))
        return codes.WRONG_USAGE
    except BrokenPipeError:
        raise
    except Exception as error:
        if flags["debug"]:
            traceback.print_exc()
        code = _code(error)
        text = _one_line(error)
        _say(text if code != codes.FAULT else f"{type(error).__name__}: {text} (--debug shows where)")
        return code


def _code(error: Exception) -> int:
    if isinstance(error, UntrustedError):
        return codes.UNTRUSTED
    if isinstance(error, OSError):
        return codes.STORAGE
    if isinstance(error, (CorruptError, TruncatedError, NotFoundError)):
        return codes.CHECK_FAILED
    if isinstance(error, (InvalidArgumentError, UnsupportedError, ImportError)):
        return codes.WRONG_USAGE
    return codes.FAULT


def _one_line(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())


def _missing(error: ModuleNotFoundError) -> str:
    return f"the package {error.name} is missing: pip install {error.name}"


def _usage(error: "click.ClickException") -> str:
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    return text if context is None else f"{text.rstrip('.')}; see {context.command_path} --help"


def _say(text: str) -> None:
    note(f"error: {text}")

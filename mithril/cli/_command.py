"""What all subcommands of `mithril cache` share: their options, their help, and the cache that they mean.

`JSON`, `DEBUG` and `exit_code_help` are of all commands.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mithril.cli._exit_codes import CHECK_FAILED, FINE, MEANINGS, STORAGE, UNTRUSTED, WRONG_USAGE

if TYPE_CHECKING:
    from mithril.cache._config import CacheConfig
    from mithril.cache._manager import CacheManager

Body = Callable[..., int | None]


@dataclass(frozen=True)
class Call:
    """The options that every command has."""

    directory: str | None
    remote_url: str | None
    as_json: bool

    def config(self) -> "CacheConfig":
        """What the environment says, and on top of it what the options say."""
        from mithril.cache._config import CacheConfig

        said: dict[str, Any] = {}
        if self.directory is not None:
            said["root_dir"] = Path(self.directory)
        if self.remote_url is not None:
            said["remote_url"] = self.remote_url
        return dataclasses.replace(CacheConfig.from_env(), **said)

    def manager(self, *, make: bool = False) -> "CacheManager":
        """A manager that serves nothing in this process. Only with `make` is a cache made where there is none."""
        from mithril._errors import StorageNotFoundError
        from mithril.cache._manager import CacheManager

        config = self.config()
        if not make and not (config.root_dir / "store").is_dir():
            raise StorageNotFoundError(
                2, "no cache here (--dir or MITHRIL_CACHE_DIR says where it is)", str(config.root_dir)
            )
        return CacheManager(config.with_inductor(False).with_triton(False))


def _debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.ensure_object(dict)["debug"] = value


_DIRECTORY = click.option(
    "--dir", "directory", metavar="DIR", help="Root folder of the cache, in place of MITHRIL_CACHE_DIR."
)
_REMOTE = click.option("--remote", "remote_url", metavar="URL", help="Shared store, in place of MITHRIL_REMOTE_URL.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and nothing else.")
DEBUG = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, help="Show the traceback of an error."
)


def exit_code_help(failed: str | None, more: str = "", *, signed: bool = True) -> str:
    """The end of a command's help; `failed` says what exit code 1 means, `more` has lines for others.

    `signed`: it reads what may be signed.
    """
    texts = {**MEANINGS, CHECK_FAILED: failed, UNTRUSTED: MEANINGS[UNTRUSTED] if signed else None}
    lines = [f"{code}  {texts[code]}" for code in (FINE, CHECK_FAILED, WRONG_USAGE, STORAGE, UNTRUSTED) if texts[code]]
    return paragraph("Exit codes:", lines + more.splitlines())


def paragraph(title: str, lines: list[str]) -> str:
    """Lines that click leaves as they are."""
    return "\n".join(("\b", title, *(f"  {line}" for line in lines)))


ALL_EXIT_CODES = paragraph("Exit codes:", [f"{code}  {meaning}" for code, meaning in MEANINGS.items()])


def command(
    name: str, *, remote: bool = False, failed: str | None = None, more_codes: str = "", **settings: Any
) -> Callable[[Body], click.Command]:
    """A subcommand, which gets a `Call` and its own options and returns the exit code (None is 0).

    `remote`: it has the option --remote. `failed` says in the help what exit code 1 means.
    """

    def make(body: Body) -> click.Command:
        @functools.wraps(body)
        def run(directory: str | None, as_json: bool, remote_url: str | None = None, **options: Any) -> int | None:
            return body(Call(directory, remote_url, as_json), **options)

        wrapped: Callable[..., int | None] = run
        for option in (DEBUG, JSON, *((_REMOTE,) if remote else ()), _DIRECTORY):
            wrapped = option(wrapped)
        decorate: Callable[[Body], click.Command] = click.command(
            name, epilog=exit_code_help(failed, more_codes), **settings
        )
        return decorate(wrapped)

    return make

"""Progress of `mithril dedup` on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mithril.cli._output import bytes_text, note, seconds_text

__all__ = ["shown_progress"]

Report = Callable[[str, int, int | None], None]

# Stages that count bytes; the others count documents.
_IN_BYTES = frozenset({"scan"})
# Seconds between two lines where there is no terminal.
_INTERVAL = 10.0


@contextlib.contextmanager
def shown_progress(wanted: bool | None) -> Iterator[Report]:
    """Takes (stage, done, total) while it lasts and shows it, on a terminal by default, else as `wanted` says."""
    terminal = sys.stderr.isatty()
    if not (terminal if wanted is None else wanted):
        # Still called: what runs natively looks for Ctrl-C when it reports.
        yield lambda stage, done, total: None
    elif terminal:
        with _bar() as report:
            yield report
    else:
        yield _lines()


def _amount(stage: str, number: float) -> str:
    return bytes_text(number) if stage in _IN_BYTES else f"{number:,.0f}"


class _Done(ProgressColumn):
    def render(self, task: Task) -> Text:
        stage = task.description
        of = "" if task.total is None else f" of {_amount(stage, task.total)}"
        return Text(_amount(stage, task.completed) + of)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{_amount(task.description, speed)}/s")


@contextlib.contextmanager
def _bar() -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), _Done(), _Rate(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield report


def _lines() -> Report:
    current, began, said = "", 0.0, 0.0

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal current, began, said
        now = time.monotonic()
        if stage != current:
            current, began, said = stage, now, now - _INTERVAL
        if now - said < _INTERVAL and done != total:
            return
        said = now
        rate = done / (now - began) if now > began and done else None
        text = f"{stage}: {_amount(stage, done)}"
        if total is not None:
            text += f" of {_amount(stage, total)}"
        if rate is not None:
            text += f", {_amount(stage, rate)}/s"
            if total is not None and done < total:
                text += f", {seconds_text((total - done) / rate)} left"
        note(text)

    return report

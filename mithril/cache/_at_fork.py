"""What a forked child must not inherit: locks that a thread of its parent held, numbers that its parent reports."""

import os
import weakref
from typing import Protocol


class StartsAfresh(Protocol):
    """Something that a forked child starts afresh."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


_live: "weakref.WeakSet[StartsAfresh]" = weakref.WeakSet()


def start_afresh_in_children(what: StartsAfresh) -> None:
    """Call `what.after_fork()` in every child that is forked while it lives."""
    _live.add(what)


def _after_fork() -> None:
    for what in list(_live):
        what.after_fork()


os.register_at_fork(after_in_child=_after_fork)

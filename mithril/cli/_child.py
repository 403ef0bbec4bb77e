"""A child process that gets the signals that its parent gets."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

_PASSED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}


def run_child(command: Sequence[str], environment: Mapping[str, str], *, stdout: IO[str] | None = None) -> int:
    """Run a command to its end; returns its exit code, or 128 + N when signal N ended it. For a process's main thread.

    Raises FileNotFoundError or another OSError when there is nothing to run.
    """
    # Signals wait until they are asked for, so that none is lost between the start and the end of the child. One that
    # the terminal sent has reached the child already: it goes to all in the foreground.
    awaited = {*_PASSED_ON, signal.SIGCHLD}
    child_ended = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdout=stdout,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )
        while child.poll() is None:
            got = signal.sigwaitinfo(awaited)
            if got.si_signo != signal.SIGCHLD and got.si_code <= 0:
                child.send_signal(got.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, child_ended or signal.SIG_DFL)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode

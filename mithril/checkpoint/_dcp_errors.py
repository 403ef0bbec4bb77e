"""Errors on their way through DCP, which pickles them, sends them to every rank and raises a BaseException there."""

import errno
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed.checkpoint.api import CheckpointException

from mithril._errors import MithrilError, StorageError, StorageExistsError, StorageNotFoundError

_STORAGE_ERRORS: dict[int | None, type[StorageError]] = {
    errno.ENOENT: StorageNotFoundError,
    errno.EEXIST: StorageExistsError,
}


@contextmanager
def picklable_errors() -> Iterator[None]:
    """Let out only errors that can be pickled: others would leave the coordinator waiting. OSErrors become ours."""
    try:
        yield
    except MithrilError:
        raise
    except OSError as error:
        kind = _STORAGE_ERRORS.get(error.errno, StorageError)
        raise kind(error.errno, error.strerror or str(error), error.filename) from error
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise MithrilError(f"{type(error).__name__}: {error}") from None
        raise


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise DCP's CheckpointException as the MithrilError of the first rank that failed: the same on all ranks."""
    try:
        yield
    except CheckpointException as failure:
        for _, (error, _) in sorted(failure.failures.items()):
            if not isinstance(error, Exception):  # an interrupt stays one
                raise error from failure
        raise _first_error(failure) from failure


def _first_error(failure: CheckpointException) -> MithrilError:
    rank, (error, _) = min(failure.failures.items())
    others = len(failure.failures) - 1
    place = f"rank {rank}" + (f" (and {others} more)" if others else "")
    if isinstance(error, OSError) and error.errno is not None:
        kind = type(error) if isinstance(error, StorageError) else StorageError
        return kind(error.errno, f"{place}: {error.strerror}", error.filename)
    if isinstance(error, MithrilError):
        return type(error)(f"{place}: {error}")
    return MithrilError(f"{place}: {type(error).__name__}: {error}")

"""Exceptions of the package. Messages state the given input, the requirement and a remedy.

    BratsMMError
    |-- InputError            the user's input cannot be used (exit code 2, HTTP 4xx)
    |   |-- CaseError         no sequences, or ambiguous names
    |   |-- VolumeError       one file: missing, damaged, wrong kind, unusable voxels or geometry
    |   |-- GridError         two files of a case have different grids
    |   |-- OptionError       an option has an invalid value
    |   `-- OutputError       results cannot be written
    |-- BundleError           a model bundle is missing or incomplete, or its weights do not match their hash
    |-- TrainingError         training cannot continue: non-finite loss, or a checkpoint that does not fit
    |-- ResourceError         this machine has too little memory or temporary disk space
    `-- Cancelled             the caller asked to stop

Catch `InputError` for errors that the user can fix. Catch `BratsMMError` at the boundary (command line, service).
"""

import errno
import re
from collections.abc import Collection


class BratsMMError(Exception):
    """Base class of all errors that the library raises deliberately."""


class InputError(BratsMMError):
    """The user's input cannot be used."""


class CaseError(InputError):
    """A case has no usable sequence, or its files are ambiguous."""


class VolumeError(InputError):
    """One volume file cannot be used."""


class GridError(InputError):
    """Volumes of one case have different grids."""


class OptionError(InputError):
    """An option has an invalid value."""


class OutputError(InputError):
    """Results cannot be written."""


class BundleError(BratsMMError):
    """A model bundle is missing or incomplete, or its weights do not match their hash."""


class TrainingError(BratsMMError):
    """Training cannot start or continue."""


class ResourceError(BratsMMError):
    """The machine's memory or temporary disk space is too small."""


class Cancelled(BratsMMError):  # noqa: N818 (not an error: the user requested it)
    """The caller asked to stop, and the work has stopped."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise an OptionError unless a value is one of the choices. `name` starts the message, such as `The section`."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r}. Choose one of {', '.join(map(str, choices))}.")


def extract_first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|(can't|cannot|unable to|could not|failed to) (allocate|map segment|create a? ?thread)|out of memory"
    r"|not enough memory|insufficient memory|can't start new thread|failed to map segment",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error or one of its causes means that memory ran out. Most libraries raise RuntimeError."""
    seen_ids: set[int] = set()
    while error is not None and id(error) not in seen_ids:
        seen_ids.add(id(error))
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, without the import
            return True
        if isinstance(error, (RuntimeError, ImportError, OSError)) and _OUT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def list_causes(error: BaseException) -> list[BaseException]:
    """Return an exception and its chain of causes, the first cause last."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def find_own_error(error: BaseException) -> BratsMMError | None:
    """Return the library's error in an exception's chain of causes, because MONAI wraps errors, or None."""
    return next((cause for cause in list_causes(error) if isinstance(cause, BratsMMError)), None)

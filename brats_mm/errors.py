"""What can go wrong, in sentences: what was given, what is needed, what to do next.

    BratsMMError
    |-- InputError            what the user gave cannot be used (exit code 2, HTTP 4xx)
    |   |-- CaseError         no sequences, or names that do not tell them apart
    |   |-- VolumeError       one file: missing, damaged, wrong kind, unusable voxels or geometry
    |   |-- GridError         two files of a case do not lie on one grid
    |   |-- OptionError       an option has no such value
    |   `-- OutputError       results cannot be written where they were wanted
    |-- BundleError           a model bundle is absent, incomplete, or its weights are not the recorded ones
    |-- TrainingError         a training cannot go on: its loss is no number, or its checkpoint does not fit
    |-- ResourceError         this machine's memory is too small for the settings
    `-- Cancelled             the caller asked to stop

Catch `InputError` to tell a user what to mend; catch `BratsMMError` at a border (command line, service).
"""


class BratsMMError(Exception):
    """Base of every error that the library raises on purpose."""


class InputError(BratsMMError):
    """What the user gave cannot be used."""


class CaseError(InputError):
    """A case has no usable sequence, or its files cannot be told apart."""


class VolumeError(InputError):
    """One volume file cannot be used."""


class GridError(InputError):
    """Volumes of one case do not lie on one grid."""


class OptionError(InputError):
    """An option was given a value that it cannot have."""


class OutputError(InputError):
    """Results cannot be written where they were wanted."""


class BundleError(BratsMMError):
    """A model bundle is absent, incomplete, or does not hold the weights it says."""


class TrainingError(BratsMMError):
    """A training cannot start, continue or go on."""


class ResourceError(BratsMMError):
    """The machine's memory is too small for the settings."""


class Cancelled(BratsMMError):  # noqa: N818 (a request that was granted, not a fault)
    """The caller asked to stop, and the work has stopped."""


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

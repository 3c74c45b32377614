"""Every error that glomseg raises on purpose: one line that names the offending value and the remedy."""

from json import JSONDecodeError


class GlomsegError(Exception):
    """Base of all errors whose message is meant for the user."""


class SlideError(GlomsegError):
    """An image that cannot be found, opened or read."""


class MissingMppError(SlideError):
    """An image that does not say how large its pixels are."""


class ModelError(GlomsegError):
    """A model that is unknown, damaged or of a format that this version cannot read."""


class DeviceError(GlomsegError):
    """A compute device that is not there."""


class GeoJSONError(GlomsegError):
    """A GeoJSON file that is not what QuPath writes or reads."""


class ProjectError(GlomsegError):
    """A QuPath project that cannot be read, or an image in it that cannot be annotated safely."""


class ConflictError(ProjectError):
    """An image's data that somebody else changed while we worked."""


class QuPathError(GlomsegError):
    """No usable QuPath on this machine, or one that failed."""


class RunError(GlomsegError):
    """A run folder that cannot be used: locked, damaged, or made with other parameters."""


class TrainingError(GlomsegError):
    """Training data or settings that cannot be trained on."""


class EvaluationError(GlomsegError):
    """Results and truth that do not fit together, or nothing to compare."""


class LabelError(GlomsegError):
    """A mask or label file that is none, or that could be meant in two ways."""


class SampleSheetError(GlomsegError):
    """A sample sheet that cannot be read, or does not fit the images."""


class MeasureError(GlomsegError):
    """Something that cannot be measured."""


def in_words(error: Exception) -> str:
    """Say what is wrong with a file that cannot be read, in no words of Python's."""
    if isinstance(error, JSONDecodeError):
        if not error.doc[error.pos :].strip():
            return "it ends too early" if error.doc.strip() else "it is empty"
        return f"it is no JSON from line {error.lineno}, column {error.colno} on"
    if isinstance(error, UnicodeError):
        return "it is no text in UTF-8"
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return "a value in it is of another kind than belongs there"
    said = error.strerror if isinstance(error, OSError) else None
    return said or " ".join(str(error).split())

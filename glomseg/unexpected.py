"""What is said of an error that nobody thought of: that memory is full, or that it is to be reported."""

import errno

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_NAMES = (
    "EROFS", "EIO", "EREMOTEIO", "ENXIO", "ENODEV", "ESTALE", "ENOTCONN", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN",
    "EHOSTUNREACH", "ETIMEDOUT",
)  # fmt: skip
_DISK = tuple(getattr(errno, name) for name in _DISK_NAMES if hasattr(errno, name))
"""What a disk says that is read-only, failing or pulled out, and a share that is gone."""
_NO_FOLDER = "No usable temporary directory"
"""What Python says where it can write in no temporary folder, as on a full disk."""
_FULL = (  # in any letters
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "ALLOC_FAILED",
    "bad allocation",
    "bad_alloc",
    "failed to allocate",
    "could not create a primitive",
    "could not execute a primitive",
    "can't start new thread",
    "failed to map segment",
)
"""What says that memory is full: CUDA, MPS, the CPU allocators, cuDNN, cuBLAS, numpy, oneDNN, Python, the loader."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device, or this machine, has no memory left."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError) and any(words.lower() in str(error).lower() for words in _FULL)


def is_disk_full(error: BaseException) -> bool:
    """Say whether an error means that a disk, or what this user may have of it, is full."""
    return isinstance(error, OSError) and (error.errno in _NO_SPACE or _NO_FOLDER in str(error))


def describe(error: Exception) -> str:
    """Return one line for an error that is none of ours, with what can be done."""
    if isinstance(error, OSError) and is_disk_full(error):
        written = error.filename2 or error.filename  # of a copy the second is what was written
        place = written or ("a temporary file" if _NO_FOLDER in str(error) else "a file, or what is shown")
        return f"cannot write {place}: {error.strerror}; free space, or set TMPDIR to a folder on another disk"
    if isinstance(error, PermissionError):
        place = error.filename2 or error.filename or "a file"
        return f"{place}: {error.strerror}; ask whoever it belongs to for the right to, or choose another place"
    if isinstance(error, OSError) and error.errno in _DISK:
        place = error.filename2 or error.filename or "a file"
        return f"{place}: {error.strerror}; see that its disk is connected and can be written, and try again"
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")
    if is_out_of_memory(error):
        return f"no memory left ({text}); close other programs, and run the same command again"
    return f"unexpected {text}; please report it"

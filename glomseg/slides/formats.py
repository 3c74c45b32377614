"""The formats of slides and images: which reader opens which, told by a file's content; the one place that knows.

A new format is a reader and a line in FORMATS. A file's ending decides only where the content says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import SlideError
from glomseg.slides.dicom import check_frames, dicom_header
from glomseg.slides.readers import BROKEN, OpenSlideReader, PlainReader, Reader, reason, vendor_of
from glomseg.slides.tiff import open_tiff

_HEAD = 140  # bytes of a file that tell what it is
_CONVERT = "convert it to OME-TIFF, with QuPath (File > Export images) or `bfconvert IN OUT.ome.tif`"
_AS_PNG = "save it as PNG or TIFF"


@dataclass(frozen=True)
class Format:
    """A format that is read: `signature` tells by the first bytes; None where only the ending can tell."""

    name: str
    endings: tuple[str, ...]
    open: Callable[[Path], Reader]
    signature: Callable[[bytes], bool] | None = None


@dataclass(frozen=True)
class UnreadFormat:
    """A format that is known and not read; `remedy` says what makes it readable."""

    name: str
    endings: tuple[str, ...]
    remedy: str
    signature: Callable[[bytes], bool] | None = None


def _starts(*marks: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: any(head[at : at + len(mark)] == mark for mark in marks)


def _open_dicom(path: Path) -> Reader:
    """Open a DICOM slide once the tables of all its files are known to be whole."""
    header = dicom_header(path)
    for file in path.parent.iterdir():
        if file == path or (header is not None and file.is_file() and _series(file) == header.series_uid):
            check_frames(file)
    return OpenSlideReader(path)


def _series(path: Path) -> str | None:
    header = dicom_header(path)
    return None if header is None else header.series_uid


_TIFF_MARKS = _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCANNERS = (".svs", ".ndpi", ".scn", ".bif", ".qptiff")
FORMATS = (
    Format("TIFF", (".tif", ".tiff", ".btf", ".tf2", ".tf8", *_SCANNERS), open_tiff, _TIFF_MARKS),
    Format("DICOM", (".dcm", ".dicom"), _open_dicom, _starts(b"DICM", at=128)),
    Format("Zeiss CZI", (".czi",), OpenSlideReader, _starts(b"ZISRAWFILE")),
    Format("3DHISTECH MRXS", (".mrxs",), OpenSlideReader),
    Format("Hamamatsu VMS and VMU", (".vms", ".vmu"), OpenSlideReader),
    Format("Sakura", (".svslide",), OpenSlideReader),
    Format("PNG", (".png",), PlainReader, _starts(b"\x89PNG\r\n\x1a\n")),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), PlainReader, _starts(b"\xff\xd8\xff")),
    Format(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
        PlainReader,
        _starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    ),
    Format("BMP", (".bmp", ".dib"), PlainReader, lambda head: head[:2] == b"BM" and head[6:10] == bytes(4)),
    Format("WebP", (".webp",), PlainReader, lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
)
UNREAD = (
    UnreadFormat("Olympus VSI", (".vsi", ".ets"), _CONVERT),  # before TIFF: a VSI begins like one
    UnreadFormat("Zeiss LSM", (".lsm",), _CONVERT),
    UnreadFormat("a camera's raw format", (".dng", ".nef", ".cr2", ".arw"), _AS_PNG),
    UnreadFormat("Leica LIF", (".lif", ".lof", ".xlef"), _CONVERT, _starts(b"\x70\0\0\0")),
    UnreadFormat(
        "Philips iSyntax",
        (".isyntax", ".i2syntax"),
        "export it as TIFF from Philips' image management, or `isyntax-to-tiff IN OUT.tif`",
        _starts(b"<DataObject"),
    ),
    UnreadFormat("HEIF", (".heic", ".heif", ".avif"), _AS_PNG, _starts(b"ftyp", at=4)),
    UnreadFormat("GIF", (".gif",), _AS_PNG, _starts(b"GIF8")),
    UnreadFormat("JPEG XL", (".jxl",), _AS_PNG, _starts(b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    UnreadFormat("JPEG-LS", (".jls",), _AS_PNG),
    UnreadFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), _AS_PNG, _starts(b"II\xbc\x01")),
    UnreadFormat("Photoshop", (".psd", ".psb"), _AS_PNG, _starts(b"8BPS")),
    UnreadFormat("OME-Zarr", (".zarr",), "convert it to OME-TIFF, with `raw2ometiff` or QuPath"),
    UnreadFormat("HDF5", (".ims", ".h5", ".hdf5"), _CONVERT, _starts(b"\x89HDF\r\n\x1a\n")),
    UnreadFormat("Zeiss ZVI or another OLE file", (".zvi", ".oib"), _CONVERT, _starts(b"\xd0\xcf\x11\xe0\xa1\xb1")),
    UnreadFormat("Nikon ND2", (".nd2",), _CONVERT, _starts(b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  \r\n\x87\nnd2")),
    UnreadFormat("Olympus OIR", (".oir", ".oif"), _CONVERT, _starts(b"OLYMPUSRAW")),
    UnreadFormat("Hamamatsu NDPIS", (".ndpis",), "name the .ndpi files themselves"),
    UnreadFormat("Aperio AFI", (".afi",), "name the .svs files themselves"),
    UnreadFormat("MetaSystems, Unic, KFBIO or another vendor's", (".mds", ".tmap", ".kfb", ".sdpc", ".vmic"), _CONVERT),
)
ENDINGS = tuple(ending for kind in FORMATS for ending in kind.endings)


def format_by_ending(path: Path) -> Format | UnreadFormat | None:
    """Tell the format by a file's ending alone; None for an ending that no format has."""
    name = path.name.lower()
    return next((kind for kind in (*UNREAD, *FORMATS) if name.endswith(kind.endings)), None)


def format_of(path: Path) -> Format | UnreadFormat | None:
    """Tell the format of a file or folder by its content, else by its ending; None for what is no image.

    Raises OSError where the file cannot be read.
    """
    by_ending = format_by_ending(path)
    if path.is_dir():
        return by_ending if isinstance(by_ending, UnreadFormat) else None
    if by_ending is not None and by_ending.signature is None:
        return by_ending
    with path.open("rb") as file:
        head = file.read(_HEAD)
    by_content = (kind for kind in (*FORMATS, *UNREAD) if kind.signature is not None and kind.signature(head))
    return next(by_content, by_ending)


def open_reader(path: Path) -> Reader:
    """Choose the reader for a file and open it.

    Raises SlideError when the file is missing, empty, damaged, or of a kind that is not supported.
    """
    if not path.exists():
        raise SlideError(f"no such image: {path}; check the path")
    if not (path.is_file() or path.is_dir()):
        raise SlideError(f"{path} is no file, but a pipe or a device; name a file")
    try:
        kind = format_of(path)
        if isinstance(kind, UnreadFormat):
            raise SlideError(f"{path} is {kind.name}, which is not read here; {kind.remedy}")
        if path.is_dir():
            raise SlideError(f"{path} is a folder, not an image; name a file in it")
        if path.stat().st_size == 0:
            raise SlideError(f"{path} is empty (0 bytes); copy it again")
        if kind is None and vendor_of(path) is None:
            raise SlideError(f"cannot open {path}: it is no image of a format that is read ({_names()})")
        return OpenSlideReader(path) if kind is None else kind.open(path)
    except BROKEN as error:
        raise SlideError(f"cannot open {path}: {reason(error)}; is it a complete image or slide file?") from error


def _names() -> str:
    return ", ".join(kind.name for kind in FORMATS)

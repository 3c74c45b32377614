"""ICC profiles whose every colour is known: sRGB's primaries, or grey, with a plain power law."""

import struct

import numpy as np
import tifffile

_D50 = (0.9642, 1.0, 0.8249)
_PRIMARIES = {  # of sRGB, adapted to D50 as in its own profile
    b"rXYZ": (0.4360747, 0.2225045, 0.0139322),
    b"gXYZ": (0.3850649, 0.7168786, 0.0971045),
    b"bXYZ": (0.1430804, 0.0606169, 0.7141733),
}


def power_profile(gamma: float, *, grey: bool = False, name: str = "Scanner of the tests") -> bytes:
    """Write an ICC profile (version 2) in which light is a number, 0..1, to the power of `gamma`."""
    curve = b"curv" + struct.pack(">xxxxIHxx", 1, round(gamma * 256))
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc" + struct.pack(">xxxxI", len(text)) + text + bytes(78),
        b"wtpt": _xyz(_D50),
        **({b"kTRC": curve} if grey else {tag: _xyz(value) for tag, value in _PRIMARIES.items()}),
        **({} if grey else dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)),
    }
    at, table, content = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += tag + struct.pack(">II", at + len(content), len(data))
        content += padded
    body = struct.pack(">I", len(tags)) + table + content
    space = b"GRAY" if grey else b"RGB "
    head = struct.pack(">I4sI4s4s4s12x4s", 128 + len(body), b"test", 0x02100000, b"scnr", space, b"XYZ ", b"acsp")
    light = b"".join(struct.pack(">i", round(value * 65536)) for value in _D50)
    return (head.ljust(68, b"\0") + light).ljust(128, b"\0") + body


def shown(pixels: np.ndarray, gamma: float) -> np.ndarray:
    """Compute what sRGB numbers (IEC 61966-2-1) show the light that a power profile gives these pixels."""
    light = (pixels / 255.0) ** gamma
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.floor(255 * encoded + 0.5).astype(np.uint8)


def stored(colours: np.ndarray, gamma: float) -> np.ndarray:
    """Compute the numbers of a power profile that show as these sRGB colours."""
    value = colours / 255.0
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.floor(255 * light ** (1 / gamma) + 0.5).astype(np.uint8)


def write_with_profile(path, pixels, profile: bytes | None, *, mpp: float = 1.0, **options):
    """Write a tiled TIFF that carries a profile."""
    rate = (1e4 / mpp, 1e4 / mpp)
    options = {"tile": (256, 256), "photometric": "rgb", **options}
    tifffile.imwrite(path, pixels, resolution=rate, resolutionunit="CENTIMETER", iccprofile=profile, **options)
    return path


def _xyz(values) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

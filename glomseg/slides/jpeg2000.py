"""Find damage in JPEG 2000, of which decoders make pixels without a word: holes of zeros, and an early end.

Markers and packets are those of ISO/IEC 15444-1, annexes A and B. A packet without content is one byte of zero, so a
stretch of zeros may be as long as a tile has packets, and hardly longer: what is coded holds none by chance.
"""

from __future__ import annotations

import struct

_SIZ, _COD, _SOT, _SOD = b"\xff\x51", b"\xff\x52", b"\xff\x90", b"\xff\x93"
_BY_CHANCE = 24  # zeros that may stand before or behind such packets
_LARGEST_PRECINCT = 0xFF  # 2 to the 15th in both directions, where none is said


def check_jpeg2000(data: bytes) -> None:
    """Raise ValueError where a code stream (alone or in a JP2 file) has a hole of zeros or ends before its tiles do."""
    start = data.find(b"\xff\x4f" + _SIZ)
    if start < 0:
        raise ValueError("it holds no JPEG 2000 code stream")
    try:
        most, at = _packets(data, start), data.find(_SOT, start)
        zeros = bytes(most + _BY_CHANCE)
        while at >= 0:
            size = struct.unpack_from(">I", data, at + 6)[0] or len(data) - at
            if at + size > len(data):
                raise ValueError("a tile ends early")
            body = data.find(_SOD, at, at + size)
            if body >= 0 and data.find(zeros, body, at + size) >= 0:
                raise ValueError("a stretch of zeros lies in its compressed pixels")
            at = at + size if data[at + size : at + size + 2] == _SOT else -1
    except struct.error as error:
        raise ValueError("its header ends early") from error


def _packets(data: bytes, start: int) -> int:
    """Count the packets of a tile: layers by components by places at each resolution."""
    width, height, left, top, across, down = struct.unpack_from(">6I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    at = data.find(_COD, start + 42)
    if at < 0:
        raise ValueError("its header says not how it is coded")
    style, _, layers, _, levels = struct.unpack_from(">BBHBB", data, at + 4)
    said = data[at + 14 : at + 15 + levels] if style & 1 else b""
    wide, tall = min(across, width - left), min(down, height - top)
    places = 0
    for level in range(levels + 1):
        step = 2 ** (levels - level)
        precinct = said[level] if level < len(said) else _LARGEST_PRECINCT
        places += _ceil(_ceil(wide, step), 2 ** (precinct & 15)) * _ceil(_ceil(tall, step), 2 ** (precinct >> 4))
    return int(min(layers * components * places, 10**6))


def _ceil(size: int, part: int) -> int:
    return max(1, -(-size // part))

"""DICOM whole slides as scanners write them: each level, label and overview in a file of its own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.slides import reduce

TILE = 256
VOLUME = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
LABEL = ("ORIGINAL", "PRIMARY", "LABEL", "NONE")


class DicomSeries:
    """One slide; its files are written one by one."""

    def __init__(self) -> None:
        from pydicom.uid import generate_uid

        self.series, self.study, self.frame = generate_uid(), generate_uid(), generate_uid()

    def write(
        self, path: Path, picture: NDArray[np.uint8], mpp: float | None, image_type: Sequence[str] = VOLUME
    ) -> Path:
        """Write one level, label or overview."""
        from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
        from pydicom.encaps import encapsulate
        from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

        height, width = picture.shape[:2]
        frames = _frames(picture)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = JPEGBaseline8Bit
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        values = {
            "SOPClassUID": meta.MediaStorageSOPClassUID,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "SeriesInstanceUID": self.series,
            "StudyInstanceUID": self.study,
            "FrameOfReferenceUID": self.frame,
            "Modality": "SM",
            "ImageType": list(image_type),
            "Rows": TILE,
            "Columns": TILE,
            "TotalPixelMatrixColumns": width,
            "TotalPixelMatrixRows": height,
            "NumberOfFrames": len(frames),
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "YBR_FULL_422",
            "PlanarConfiguration": 0,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelRepresentation": 0,
            "DimensionOrganizationType": "TILED_FULL",
            "ImagedVolumeWidth": width * (mpp or 1) / 1000,
            "ImagedVolumeHeight": height * (mpp or 1) / 1000,
            "ImagedVolumeDepth": 0.001,
            "TotalPixelMatrixFocalPlanes": 1,
            "NumberOfOpticalPaths": 1,
            "InstanceNumber": 1,
            "OpticalPathSequence": [_item(OpticalPathIdentifier="1", ICCProfile=b"")],
            "TotalPixelMatrixOriginSequence": [
                _item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)
            ],
        }
        for name, value in values.items():
            setattr(file, name, value)
        if mpp is not None:
            measures = _item(PixelSpacing=[mpp / 1000, mpp / 1000], SliceThickness=0.001)
            file.SharedFunctionalGroupsSequence = [_item(PixelMeasuresSequence=[measures])]
        else:
            file.SharedFunctionalGroupsSequence = [Dataset()]
        file.PixelData = encapsulate(frames)
        file["PixelData"].is_undefined_length = True
        file.save_as(path, enforce_file_format=True)
        return path


def dicom_slide(
    folder: Path, picture: NDArray[np.uint8], mpp: float | None = 0.5, *, levels: int = 3, ending: str = ".dcm"
) -> list[Path]:
    """Write a slide of several levels into a folder, and its label; gives the files of the levels."""
    folder.mkdir(parents=True, exist_ok=True)
    series, files = DicomSeries(), []
    for index in range(levels):
        factor = 2**index
        kind = VOLUME if index == 0 else ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
        path = folder / f"level-{index}{ending}"
        files.append(series.write(path, reduce(picture, factor), mpp and mpp * factor, kind))
    series.write(folder / f"a-label{ending}", picture[:TILE, :TILE], None, LABEL)
    return files


def _item(**values: object) -> object:
    from pydicom.dataset import Dataset

    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _frames(picture: NDArray[np.uint8]) -> list[bytes]:
    """Cut a picture into JPEG tiles, white beyond its edge."""
    frames = []
    for y in range(0, picture.shape[0], TILE):
        for x in range(0, picture.shape[1], TILE):
            tile = np.full((TILE, TILE, 3), 255, np.uint8)
            part = picture[y : y + TILE, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            stream = io.BytesIO()
            Image.fromarray(tile).save(stream, "JPEG", quality=95, subsampling=0)
            frames.append(stream.getvalue())
    return frames

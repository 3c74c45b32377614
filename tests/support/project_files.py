"""Projects as JSON, without a QuPath: their images by what serves them."""

import json

from glomseg.qupath.project import read_project


def builder(uri="file:/slides/a.tif", args=(), kind="uri", **metadata):
    return {
        "builderType": kind,
        "providerClassName": "qupath.lib.images.servers.openslide.OpenslideServerBuilder",
        "uri": uri,
        "args": list(args),
        "metadata": {"width": 400, "height": 300, "sizeZ": 1, "sizeT": 1, "isRGB": True} | metadata,
    }


def calibration(x, y=None, unit="µm", unit_y=None):
    sides = {"pixelWidth": (x, unit), "pixelHeight": (x if y is None else y, unit_y or unit)}
    return {side: {"value": value, "unit": name} for side, (value, name) in sides.items()}


def write(folder, *builders, uri="file:/old/study/project.qpproj", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    images = [
        {"serverBuilder": item, "entryID": number, "imageName": f"image {number}", "metadata": {}}
        for number, item in enumerate(builders, 1)
    ]
    content = {"version": "0.6.0", "uri": uri, "lastID": len(images), "images": images} | changes
    path = folder / "project.qpproj"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"pixels")
    return path


def only(path, **options):
    (image,) = read_project(path, **options).images
    return image

"""Every way in which QuPath, people and other tools write outlines as GeoJSON, each with its right value or refusal.

One scene of 512 x 512 px: four discs, and an outline around each of the first three. An outline that a case adds or
spoils stands in place of the third, or around the fourth disc.
"""

from __future__ import annotations

import gzip
import json
import uuid
from dataclasses import dataclass
from typing import Any

from support.slides import Disc

Json = dict[str, Any]
SIZE = 512
DISCS = (Disc(90, 90, 35, 35), Disc(360, 90, 35, 35), Disc(110, 360, 35, 35), Disc(400, 400, 35, 35))
BOXES = ((40, 40, 140, 140), (300, 40, 420, 140), (60, 300, 160, 420), (350, 350, 450, 450))
AREA = 10_000 + 12_000 + 12_000


@dataclass(frozen=True, kw_only=True)
class OutlineCase:
    """A file of outlines: what it holds, and what must come of it.

    `glomeruli` and `area_px` are what `evaluate` takes, `ignored` of them where they are a truth with areas to ignore.
    `export-tiles` draws the same, else it refuses with `no_tiles`. `looked_into` is in how many of the discs
    `annotate --within` looks (0: it refuses with `no_area`). `says` must stand in what all of them say,
    `says_where_labelled` in what those say that ask for a class, `says_where_counted` in what `evaluate` says, which
    counts them, `says_of_slide` in what those say that know the
    image. A file with a `refusal` is refused by all.
    """

    name: str
    content: bytes
    file: str = "a.geojson"
    glomeruli: int = 3
    area_px: float = AREA
    looked_into: int = 3
    ignored: int = 0
    says: tuple[str, ...] = ()
    says_where_labelled: tuple[str, ...] = ()
    says_where_counted: tuple[str, ...] = ()
    says_of_slide: tuple[str, ...] = ()
    no_tiles: str = ""
    no_area: str = ""
    refusal: str = ""


def ring(box: tuple[float, float, float, float]) -> list[list[float]]:
    """Write the corners of a box, the first one twice."""
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def polygon(*rings: list[list[float]], kind: str = "Polygon") -> Json:
    """Write a polygon, its outer ring first."""
    return {"type": kind, "coordinates": list(rings)}


def feature(geometry: object, *, id: object = None, **properties: object) -> Json:
    """Write an annotation of class Glomerulus; what is None is not written."""
    said: Json = {"objectType": "annotation", "classification": {"name": "Glomerulus", "color": [200, 0, 0]}}
    said = {key: value for key, value in (said | properties).items() if value is not None}
    named = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(geometry)) if id is None else id
    return {"type": "Feature", "id": str(named) if id is None else id, "geometry": geometry, "properties": said}


SQUARES = [polygon(ring(box)) for box in BOXES]
USUAL = [feature(square) for square in SQUARES[:3]]


def written(*features: object) -> bytes:
    """Write a FeatureCollection."""
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _all(**properties: object) -> bytes:
    return written(*(feature(square, **properties) for square in SQUARES[:3]))


def _third(geometry: object = SQUARES[2], **more: Any) -> bytes:
    return written(*USUAL[:2], feature(geometry, **more))


def _fourth(geometry: object = SQUARES[3], **more: Any) -> bytes:
    return written(*USUAL, feature(geometry, **more))


def _old(kind: str, square: Json, **properties: object) -> Json:
    """Write an object as QuPath 0.2 did: its kind as its id."""
    return feature(square, id=kind, objectType=None, **properties)


_PACKED = {"name": "Glomerulus", "colorRGB": -3670016}
_HOLE = ring((80, 320, 140, 400))
_BOW_TIE = [[60, 300], [160, 300], [160, 400], [100, 420], [120, 420], [60, 400], [60, 300]]
_MULTI = {"type": "MultiPolygon", "coordinates": [[ring((60, 300, 160, 400))], [ring((60, 405, 160, 425))]]}
_TWO = {"type": "MultiPolygon", "coordinates": [[ring(BOXES[1])], [ring(BOXES[2])]]}
_LINE = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
_POINTS = {"type": "MultiPoint", "coordinates": [[400, 400], [410, 410]]}
_LABEL = [
    feature(square, objectType=None, classification=None, label="Glomerulus", score=0.5) for square in SQUARES[:3]
]
_COCO = {"images": [{"id": 1}], "annotations": [{"bbox": [1, 1, 9, 9], "segmentation": [[1, 1, 9, 1, 9, 9]]}]}
_GZ = gzip.compress(written(*USUAL))
_ODD_NUMBERS = b'{"a": NaN, "b": Infinity, "c": null, "d": "12", "Confidence": 1' + b"0" * 400 + b"}"
_NO_CLASS = "no annotation has a class; all 3 count as Glomerulus"
_REPAIRED = "1 invalid outline repaired (object 3)"

OUTLINES = (
    # QuPath through the years
    OutlineCase(name="QuPath 0.6", content=written(*USUAL)),
    OutlineCase(
        name="QuPath 0.5, derived class by names",
        content=_third(classification={"names": ["Glomerulus", "Sclerotic"], "color": [1, 2, 3]}),
    ),
    OutlineCase(
        name="QuPath 0.3, measurements as a list",
        content=_all(classification=_PACKED, measurements=[{"name": "Area", "value": "NaN"}], isLocked=False),
    ),
    OutlineCase(
        name="QuPath 0.2, kind as id",
        content=written(*(_old("PathAnnotationObject", square, classification=_PACKED) for square in SQUARES[:3])),
    ),
    OutlineCase(
        name="QuPath 0.2, a cell",
        content=written(
            *(_old("PathAnnotationObject", item) for item in SQUARES[:3]), _old("PathCellObject", SQUARES[3])
        ),
        says=("1 cell of class Glomerulus",),
    ),
    OutlineCase(name="object_type", content=_all(objectType=None, object_type="ANNOTATION")),
    OutlineCase(name="no objectType", content=_all(objectType=None)),
    OutlineCase(
        name="a detection",
        content=_fourth(objectType="detection"),
        says=("1 detection of class Glomerulus",),
    ),
    OutlineCase(
        name="a cell with a nucleus",
        content=written(*USUAL, feature(SQUARES[3], objectType="cell") | {"nucleusGeometry": polygon(_HOLE)}),
        says=("1 cell of class Glomerulus",),
    ),
    # containers
    OutlineCase(name="an array", content=json.dumps(USUAL).encode()),
    OutlineCase(name="one Feature", content=json.dumps(USUAL[0]).encode(), glomeruli=1, area_px=10_000, looked_into=1),
    OutlineCase(name="gzip", content=_GZ, file="a.geojson.gz"),
    OutlineCase(name="ending .json", content=written(*USUAL), file="a.json"),
    OutlineCase(name="a byte order mark", content=b"\xef\xbb\xbf" + written(*USUAL)),
    OutlineCase(name="UTF-16", content=written(*USUAL).decode().encode("utf-16")),
    # geometry
    OutlineCase(
        name="a bow-tie", content=_third(polygon(_BOW_TIE)), area_px=22_000 + 10_000 + 2_600 / 3, says=(_REPAIRED,)
    ),
    OutlineCase(name="an open ring", content=_third(polygon(ring(BOXES[2])[:-1])), says=(_REPAIRED,)),
    OutlineCase(
        name="an open ring in a collection",
        content=_third({"type": "GeometryCollection", "geometries": [polygon(ring(BOXES[2])[:-1])]}),
        says=(_REPAIRED,),
    ),
    OutlineCase(
        name="a collection with a line",
        content=_third({"type": "GeometryCollection", "geometries": [SQUARES[2], _LINE]}),
        says=(_REPAIRED,),
    ),
    OutlineCase(name="a MultiPolygon", content=_third(_MULTI)),
    OutlineCase(
        name="two glomeruli as one MultiPolygon",
        content=written(
            USUAL[0], feature({"type": "MultiPolygon", "coordinates": [[ring(BOXES[1])], [ring(BOXES[2])]]})
        ),
        glomeruli=2,
        says_where_counted=("1 outline has several parts and counts once (at ",),
    ),
    OutlineCase(
        name="imported twice",
        content=written(*USUAL, *(item | {"id": f"again {n}"} for n, item in enumerate(USUAL))),
        glomeruli=6,
        area_px=2 * AREA,
        says_where_counted=("3 outlines lie on others, and each counts (at 90, 90 px)",),
    ),
    OutlineCase(name="a hole", content=_third(polygon(ring(BOXES[2]), _HOLE)), area_px=AREA - 4_800, looked_into=2),
    OutlineCase(name="an empty hole", content=_third({"type": "Polygon", "coordinates": [ring(BOXES[2]), []]})),
    OutlineCase(name="a type in small letters", content=_third(polygon(ring(BOXES[2]), kind="polygon"))),
    OutlineCase(name="three coordinates", content=_third(polygon([[*point, 0] for point in ring(BOXES[2])]))),
    OutlineCase(name="points", content=_fourth(_POINTS), says=("1 point of class Glomerulus",)),
    OutlineCase(name="a line", content=_fourth(_LINE), says=("1 line of class Glomerulus",)),
    OutlineCase(name="no geometry", content=_fourth(None), says=("left out object 4: it has no geometry",)),
    OutlineCase(
        name="a coordinate that is no number",
        content=_fourth(polygon([[350, 350], [450, 350], [450, float("nan")], [350, 350]])),
        says=("left out object 4: a coordinate is no number",),
    ),
    OutlineCase(
        name="a coordinate that no image has",
        content=_fourth(polygon(ring((1e300, 1e300, 2e300, 2e300)))),
        says=("left out object 4: a coordinate is 2e+300, which is on no image",),
    ),
    OutlineCase(
        name="outside the image",
        content=_fourth(polygon(ring((5000, 5000, 5100, 5100)))),
        glomeruli=4,
        area_px=AREA + 10_000,
        says_of_slide=("off the image",),
    ),
    # classes
    OutlineCase(name="a class as bare text", content=_all(classification="Glomerulus")),
    OutlineCase(name="a class as a list", content=_all(classification=["Glomerulus"])),
    OutlineCase(name="names as text", content=_all(classification={"names": "Glomerulus"})),
    OutlineCase(name="derived, without a blank", content=_third(classification={"name": "Glomerulus:Sclerotic"})),
    OutlineCase(name="blanks around it", content=_all(classification={"name": " Glomerulus "})),
    OutlineCase(
        name="small letters",
        content=_third(classification={"name": "glomerulus"}),
        says_where_labelled=("class 'glomerulus' is read as Glomerulus",),
    ),
    OutlineCase(
        name="the plural",
        content=_all(classification={"name": "Glomeruli"}),
        says_where_labelled=("3 of class 'Glomeruli' are read as Glomerulus",),
    ),
    OutlineCase(
        name="a slip of one letter",
        content=_third(classification={"name": "Glomerolus"}),
        says_where_labelled=("class 'Glomerolus' is read as Glomerulus",),
    ),
    OutlineCase(
        name="derived, with a star",
        content=_fourth(classification={"name": "Glomerulus: Artefact*"}),
        looked_into=4,
        says_where_labelled=("1 annotation of class Glomerulus: Artefact*",),
    ),
    OutlineCase(
        name="another class",
        content=_fourth(classification={"name": "Tubule"}),
        looked_into=4,
        says_where_labelled=("1 annotation of class Tubule",),
    ),
    OutlineCase(
        name="one without a class",
        content=_fourth(classification=None),
        looked_into=4,
        says_where_labelled=("1 annotation without a class",),
    ),
    OutlineCase(
        name="none with a class",
        content=_all(classification=None),
        says_where_labelled=(_NO_CLASS,),
        no_tiles="there: no annotation with a class",
    ),
    OutlineCase(
        name="nothing but detections",
        content=_all(objectType="detection"),
        glomeruli=0,
        area_px=0,
        looked_into=0,
        says_where_labelled=("3 detections of class Glomerulus",),
        no_tiles="there: no annotation with a class",
        no_area="holds no area (left out: 3 detections of class Glomerulus)",
    ),
    OutlineCase(name="an area to ignore", content=_fourth(classification={"name": "Ignore*"})),
    OutlineCase(
        name="an area to ignore on a glomerulus",
        content=written(*USUAL, feature(SQUARES[2], classification={"name": "Ignore*"})),
        looked_into=2,
        ignored=1,
    ),
    # names, numbers, ids
    OutlineCase(name="numbers as names", content=_all(name=7)),
    OutlineCase(name="ids that are no UUID", content=written(*(item | {"id": 1} for item in USUAL))),
    OutlineCase(
        name="measurements that are no numbers",
        content=_all(measurements="HERE").replace(b'"HERE"', _ODD_NUMBERS),
    ),
    OutlineCase(
        name="a colour that is none",
        content=_all(color="HERE", classification={"name": "Glomerulus", "color": "red"}).replace(
            b'"HERE"', b"[Infinity, NaN, -1]"
        ),
    ),
    # other tools
    OutlineCase(
        name="a label, no classification",
        content=written(*_LABEL),
        says_where_labelled=("no annotation has a class; all 3 (named Glomerulus) count as Glomerulus",),
        no_tiles="there: no annotation with a class",
    ),
    OutlineCase(
        name="properties of null",
        content=written(*(item | {"properties": None} for item in USUAL)),
        says_where_labelled=(_NO_CLASS,),
        no_tiles="there: no annotation with a class",
    ),
    OutlineCase(
        name="no object",
        content=written(),
        glomeruli=0,
        area_px=0,
        looked_into=0,
        no_tiles="there: no annotation with a class",
        no_area="holds no area",
    ),
    # refused by all
    OutlineCase(name="a bare geometry", content=json.dumps(SQUARES[0]).encode(), refusal="its type is 'Polygon'"),
    OutlineCase(
        name="a Feature a line",
        content=b"\n".join(json.dumps(item).encode() for item in USUAL),
        refusal="is not readable GeoJSON",
    ),
    OutlineCase(name="COCO", content=json.dumps(_COCO).encode(), refusal="holds no objects (its type is None)"),
    OutlineCase(
        name="TopoJSON", content=b'{"type": "Topology", "objects": {}, "arcs": []}', refusal="its type is 'Topology'"
    ),
    OutlineCase(
        name="nothing that can be read", content=written(feature(None), 3), refusal="holds no object that can be read"
    ),
    OutlineCase(name="cut off", content=written(*USUAL)[:-40], refusal="is not readable GeoJSON"),
    OutlineCase(name="gzip, cut off", content=_GZ[:-40], file="a.geojson.gz", refusal="is not readable GeoJSON"),
    OutlineCase(
        name="gzip, damaged",
        content=_GZ[:30] + bytes(20) + _GZ[50:],
        file="a.geojson.gz",
        refusal="is not readable GeoJSON",
    ),
    OutlineCase(
        name="gzip that is none", content=written(*USUAL), file="a.geojson.gz", refusal="is not readable GeoJSON"
    ),
    OutlineCase(name="lists without end", content=b"[" * 99_999, refusal="is not readable GeoJSON"),
    OutlineCase(name="empty", content=b"", refusal="is not readable GeoJSON"),
)


def areas(case: OutlineCase) -> float:
    """Return the px that `export-tiles` labels as glomerulus: what lies on the image, and in no area to ignore."""
    area = AREA if case.name == "imported twice" else case.area_px
    return area - (10_000 if case.name == "outside the image" else 0) - 12_000 * case.ignored

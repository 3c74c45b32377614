"""What tests run in the process that holds QuPath's JVM: QuPath's own code, and none of ours."""

import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def parse_geojson(path: Path) -> list[dict[str, object]]:
    """Import a file as QuPath does when it is dragged onto an image."""
    from paquo import java

    return [
        {
            "id": str(item.getID()),
            "class": str(item.getPathClass()),
            "name": str(item.getName()),
            "area": float(item.getROI().getArea()),
            "measurements": {str(k): float(v) for k, v in item.getMeasurementList().asMap().items()},
            "metadata": {str(k): str(v) for k, v in item.getMetadata().items()},
        }
        for item in java.PathIO.readObjects(java.File(str(path)))
    ]


def delete_predictions(project_path: Path, entry_id: str, image_path: Path, keep: int) -> int:
    """Play a person who deletes the predictions of an image but for the first few from the left, and saves it."""

    def delete(hierarchy: Any, ours: list[Any]) -> int:
        for item in ours[keep:]:
            hierarchy.removeObject(item, True)
        return max(0, len(ours) - keep)

    return _edit(project_path, entry_id, image_path, delete)


def delete_at(project_path: Path, entry_id: str, image_path: Path, places: list[tuple[float, float]]) -> int:
    """Play a person who deletes the predictions at some places, and saves the image."""

    def delete(hierarchy: Any, ours: list[Any]) -> int:
        count = 0
        for item in ours:
            centre = item.getROI()
            if any(math.hypot(centre.getCentroidX() - x, centre.getCentroidY() - y) < 30 for x, y in places):
                hierarchy.removeObject(item, True)
                count += 1
        return count

    return _edit(project_path, entry_id, image_path, delete)


def add_to_predictions(project_path: Path, entry_id: str, image_path: Path) -> int:
    """Play a person who gives four predictions something of their own: colour, measurement, metadata, a cell inside."""

    def add(hierarchy: Any, ours: list[Any]) -> int:
        from paquo import java
        from paquo.jpype_backend import JClass

        ours[0].setColor(java.Integer(255) if hasattr(java, "Integer") else JClass("java.lang.Integer")(255))
        ours[1].getMeasurementList().put("Mesangial cells", 12.0)
        ours[2].getMetadata().put("stain", "PAS")
        centre = ours[3].getROI()
        rois = JClass("qupath.lib.roi.ROIs")
        cell = rois.createEllipseROI(centre.getCentroidX(), centre.getCentroidY(), 5.0, 5.0, None)
        hierarchy.addObjectBelowParent(ours[3], java.PathObjects.createDetectionObject(cell), True)
        return 4

    return _edit(project_path, entry_id, image_path, add)


def draw(project_path: Path, entry_id: str, image_path: Path, outlines: list[tuple[float, float, str, str]]) -> int:
    """Play a person who draws discs by hand: the middle, the class ("" for none), and "annotation" or "detection"."""

    def add(hierarchy: Any, ours: list[Any]) -> int:
        from paquo import java
        from paquo.jpype_backend import JClass

        for x, y, name, kind in outlines:
            roi = JClass("qupath.lib.roi.ROIs").createEllipseROI(x - 46, y - 52, 98.0, 98.0, None)
            made = (
                java.PathObjects.createAnnotationObject
                if kind == "annotation"
                else java.PathObjects.createDetectionObject
            )
            hierarchy.addObject(made(roi, java.PathClass.fromString(name) if name else None))
        return len(outlines)

    return _edit(project_path, entry_id, image_path, add)


def bring_in(project_path: Path, entry_id: str, image_path: Path, file: Path) -> int:
    """Play a person who drags a file of objects onto an image, or pastes what was copied: QuPath does both alike."""

    def add(hierarchy: Any, ours: list[Any]) -> int:
        from paquo import java

        items = list(java.PathIO.readObjects(java.File(str(file))))
        for item in items:
            item.refreshID()
            hierarchy.addObject(item)
        return len(items)

    return _edit(project_path, entry_id, image_path, add)


def put_on_another_plane(project_path: Path, entry_id: str, image_path: Path) -> int:
    """Play a person who puts predictions onto the second plane: the first from the left as QuPath copies, without what
    is written in it, the second as a script does, and the third is moved there.
    """

    def put(hierarchy: Any, ours: list[Any]) -> int:
        from paquo.jpype_backend import JClass

        plane = JClass("qupath.lib.regions.ImagePlane").getPlane(1, 0)
        tools = JClass("qupath.lib.objects.PathObjectTools")
        for item, with_metadata in ((ours[0], False), (ours[1], True)):
            hierarchy.addObject(tools.updatePlane(item, plane, with_metadata, True))
        ours[2].setROI(ours[2].getROI().updatePlane(plane))
        return 3

    return _edit(project_path, entry_id, image_path, put)


def copy_to_plane(project_path: Path, entry_id: str, image_path: Path, place: tuple[float, float]) -> int:
    """Play a person who copies the prediction at a place onto the second plane, as QuPath does: the outline alone."""

    def copy(hierarchy: Any, ours: list[Any]) -> int:
        from paquo.jpype_backend import JClass

        near = [item for item in ours if abs(item.getROI().getCentroidX() - place[0]) < 30]
        plane = JClass("qupath.lib.regions.ImagePlane").getPlane(1, 0)
        hierarchy.addObject(JClass("qupath.lib.objects.PathObjectTools").updatePlane(near[0], plane, False, True))
        return len(near)

    return _edit(project_path, entry_id, image_path, copy)


def twin(project_path: Path, entry_id: str, image_path: Path) -> int:
    """Play a script that leaves two objects of one id: the first prediction, and a copy of it elsewhere."""

    def add(hierarchy: Any, ours: list[Any]) -> int:
        from paquo import java

        first = ours[0]
        copy = java.PathObjects.createAnnotationObject(first.getROI().translate(0.0, 700.0), first.getPathClass())
        copy.setID(first.getID())
        hierarchy.addObject(copy)
        return 1

    return _edit(project_path, entry_id, image_path, add)


def _edit(project_path: Path, entry_id: str, image_path: Path, edit: Callable[[Any, list[Any]], int]) -> int:
    """Let a person edit the predictions of an image, sorted from the left, and save it.

    Everything is QuPath's own, in a copy of the image's part of the project that can be opened.
    """
    from paquo.projects import QuPathProject

    from glomseg.qupath.safe_write import stage

    with tempfile.TemporaryDirectory() as scratch:
        staged = stage(project_path, entry_id, image_path, Path(scratch))
        with QuPathProject(staged.project_file, mode="r+") as project:
            entry = project.images[0]
            hierarchy = entry.hierarchy.java_object
            ours = [item for item in hierarchy.getAnnotationObjects() if item.getMetadata().containsKey("glomseg.run")]
            ours.sort(key=lambda item: item.getROI().getCentroidX())
            count = edit(hierarchy, ours)
            if count:
                entry._image_data.setChanged(True)
                entry.save()
                for name in ("data.qpdata", "summary.json"):
                    shutil.copy2(staged.data_folder / name, staged.original_data_folder / name)
    return count

"""What tests run in the process that holds QuPath's JVM: QuPath's own code, and none of ours."""

from pathlib import Path


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
    """Play a person who deletes the predictions of an image but for the first few from the left, and saves it.

    Everything is QuPath's own, in a copy of the image's part of the project that can be opened; returns how many went.
    """
    import shutil
    import tempfile

    from paquo.projects import QuPathProject

    from glomseg.qupath.safe_write import stage

    with tempfile.TemporaryDirectory() as scratch:
        staged = stage(project_path, entry_id, image_path, Path(scratch))
        with QuPathProject(staged.project_file, mode="r+") as project:
            entry = project.images[0]
            hierarchy = entry.hierarchy.java_object
            ours = [item for item in hierarchy.getAnnotationObjects() if item.getMetadata().containsKey("glomseg.run")]
            ours.sort(key=lambda item: item.getROI().getCentroidX())
            for item in ours[keep:]:
                hierarchy.removeObject(item, True)
            if len(ours) <= keep:
                return 0
            entry.save()
            for name in ("data.qpdata", "summary.json"):
                shutil.copyfile(staged.data_folder / name, staged.original_data_folder / name)
    return len(ours) - keep

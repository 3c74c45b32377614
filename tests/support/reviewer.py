"""What a person does in QuPath, in the process that holds its JVM: a new project, and a review of its predictions."""

from __future__ import annotations

import math
from pathlib import Path


def make_project(folder: Path, slides: list[Path]) -> Path:
    """Make a project of slides, as QuPath does; returns its file."""
    from paquo.images import QuPathImageType
    from paquo.projects import QuPathProject

    with QuPathProject(folder, mode="x") as project:
        for slide in slides:
            project.add_image(slide, image_type=QuPathImageType.BRIGHTFIELD_OTHER)
        return Path(project.path)


def review(project_path: Path, rejected: dict[str, list[tuple[float, float]]]) -> int:
    """Go through images by name: reject or delete, in turns, what lies on the places, and mark the images as reviewed.

    Returns how many predictions were thrown out.
    """
    from paquo.classes import QuPathPathClass
    from paquo.projects import QuPathProject

    count = 0
    with QuPathProject(project_path, mode="r+") as project:
        for entry in project.images:
            if entry.image_name not in rejected:
                continue
            for item in list(entry.hierarchy.annotations):
                middle = item.roi.centroid
                if any(math.hypot(middle.x - x, middle.y - y) < 30 for x, y in rejected[entry.image_name]):
                    count += 1
                    if count % 2:
                        entry.hierarchy.annotations.discard(item)
                        continue
                    metadata = item.java_object.getMetadata()
                    metadata.put("glomseg.class_before", "Glomerulus")
                    metadata.put("glomseg.verdict", "reject")
                    item.update_path_class(QuPathPathClass("Rejected"))
            entry.metadata["glomseg.reviewed"] = "AB 2026-11-23"
            entry.save()
        project.save(images=False)
    return count

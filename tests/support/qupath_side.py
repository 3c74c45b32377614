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

"""What a person may do to an image in QuPath, at random, in the process that holds its JVM; and what stands there."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.qupath_side import _edit

PLACES = [(90 + 130 * column, 120 + 140 * row) for column in range(8) for row in range(6)]
CLASSES = ("Glomerulus", "glomeruli", "Glomerulus: Sclerotic", "Tubule", "Rejected", "Glomerulus*", "")
SET = {"accept": None, "edit": None, "reject": "Rejected", "sclerotic": "Glomerulus: Sclerotic"}
"""Verdicts of the review, and the class that each gives."""


@dataclass(frozen=True)
class Stands:
    """An annotation as it stands: its class ("" for none), verdict, run and, in `all`, whatever else it has."""

    class_name: str
    verdict: str | None
    run: str | None
    is_area: bool
    all: str

    @property
    def counts(self) -> bool:
        """Tell whether it is a glomerulus, by the rule of classes in few words."""
        base = self.class_name.partition(":")[0]
        return self.is_area and base in ("Glomerulus", "glomeruli") and not self.class_name.endswith("*")

    @property
    def holds(self) -> str | None:
        """Return the verdict, where no other class was given since."""
        given = SET.get(self.verdict or "")
        is_bare = self.verdict == "reject" and not self.class_name
        return self.verdict if given is None or is_bare or self.class_name == given else None


def look(project_path: Path, entry_id: str, image_path: Path) -> dict[str, Stands]:
    """Return the annotations of an image by id."""
    found = {}

    def read(hierarchy: Any, ours: list[Any]) -> int:
        for item in hierarchy.getAnnotationObjects():
            metadata = {str(key): str(value) for key, value in item.getMetadata().items()}
            name, roi = item.getPathClass(), item.getROI()
            found[str(item.getID())] = Stands(
                class_name="" if name is None else str(name.toString()),
                verdict=metadata.get("glomseg.verdict"),
                run=metadata.get("glomseg.run"),
                is_area=bool(roi.isArea()),
                all=f"{roi.getGeometry()} {name} {item.getName()} {item.getColor()} {item.isLocked()} {metadata} "
                f"{item.getMeasurementList()}",
            )
        return 0

    _edit(project_path, entry_id, image_path, read)
    return found


def work(project_path: Path, entry_id: str, image_path: Path, seed: int) -> set[str]:
    """Play a person who does a few things at random; returns the ids of what they drew, changed, judged or deleted."""
    touched = set()

    def edit(hierarchy: Any, ours: list[Any]) -> int:
        from paquo import java
        from paquo.jpype_backend import JClass

        rng = random.Random(seed)

        def class_of(name: str) -> Any:
            return java.PathClass.fromString(name) if name else None

        def add(roi: Any, path_class: Any) -> Any:
            item = java.PathObjects.createAnnotationObject(roi, path_class)
            hierarchy.addObject(item)
            return item

        def judge(item: Any) -> Any:
            before, metadata = item.getPathClass(), item.getMetadata()
            if before is None or not str(before).startswith("Glomerulus") or metadata.containsKey("glomseg.verdict"):
                return None
            verdict = rng.choice(list(SET))
            metadata.put("glomseg.verdict", verdict)
            metadata.put("glomseg.initials", "AB")
            item.setLocked(verdict != "edit")
            item.setPathClass(class_of(SET[verdict]) if SET[verdict] else before)
            return item

        def draw(_: Any) -> Any:
            x, y = rng.choice(PLACES)
            roi = JClass("qupath.lib.roi.ROIs").createEllipseROI(x - 40.0, y - 40.0, 80.0, 80.0, None)
            return add(roi, class_of(rng.choice(CLASSES)))

        acts = {
            draw: None,
            judge: None,
            lambda item: hierarchy.removeObject(item, True): "item",
            lambda item: item.setROI(item.getROI().translate(rng.choice((-12.0, 15.0, 60.0)), 7.0)): "item",
            lambda item: item.setPathClass(class_of(rng.choice(CLASSES))): "class",
            lambda item: item.setName("mine"): "item",
            lambda item: item.getMeasurementList().put("Cells", 3.0): "item",
            lambda item: add(item.getROI().translate(30.0, 20.0), item.getPathClass()): None,
        }
        for _ in range(rng.randint(1, 5)):
            items = sorted(hierarchy.getAnnotationObjects(), key=lambda one: str(one.getROI().getGeometry()))
            act, item = rng.choice(list(acts)), rng.choice(items)
            before = item.getPathClass()
            made = act(item)
            if acts[act] is None:
                touched.update([str(made.getID())] if made is not None else [])
            elif acts[act] == "item" or item.getPathClass() != before:
                touched.add(str(item.getID()))
        return 1

    _edit(project_path, entry_id, image_path, edit)
    return touched

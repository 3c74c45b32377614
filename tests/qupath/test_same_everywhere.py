"""What is a glomerulus, by every command and script: random objects of people, and one count."""

import csv
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import discs, made_run, standing

from glomseg.files import read_csv
from glomseg.qupath.objects import read_geojson, write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.ownership import RUN, mark

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

GLOMERULI = {  # class: whether it is sclerosed
    "Glomerulus": False,
    "Glomerulus: Sclerotic": True,
    "Glomerulus: Sclerotic: Global": True,
    "Glomerulus: Segmental": False,
    "glomeruli": False,
    "GLOMERULUS": False,
    "Glomerlus": False,
    "Glomerulus, sclerotic": True,
    "Glomerulus\u00a0": False,
    "Glomeruli\u200b: Sclerotic": True,
}
OTHERS = ("Glomerulus*", "Glomerulus: Artefact*", "Rejected", "rejected", "Tubule", "Glom", "sclerotic", "")
AREAS = {
    "rectangle": "ROIs.createRectangleROI({x}, {y}, {side}, {side}, null)",
    "ellipse": "ROIs.createEllipseROI({x}, {y}, {side}, {side}, null)",
    "bow tie": "ROIs.createPolygonROI([{x}, {x} + {side}, {x} + {side}, {x}] as double[], "
    "[{y}, {y} + {side}, {y}, {y} + {side}] as double[], null)",
    "speck": "ROIs.createEllipseROI({x}, {y}, 0.3, 0.3, null)",
}
NO_AREAS = {
    "line": "ROIs.createLineROI({x}, {y}, {x} + {side}, {y}, null)",
    "points": "ROIs.createPointsROI([{x}, {x} + 9] as double[], [{y}, {y}] as double[], null)",
}
HEAD = """
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.roi.ROIs
clearAllObjects()
def put = { item, name, verdict ->
    if (name)
        item.setPathClass(PathClass.fromString(name))
    if (verdict)
        item.getMetadata().put("glomseg.verdict", verdict)
    addObject(item)
}
"""
COUNTED_BY_THE_REVIEW = """
def folder = new File("{folder}")
def type = new GroovyClassLoader(getClass().getClassLoader()).parseClass(new File(folder, "glomseg_shared.groovy"))
def shared = org.codehaus.groovy.runtime.InvokerHelper.createScript(type, new Binding())
def areas = shared.glomeruli(getCurrentHierarchy()).findAll {{ it.getROI().isArea() }}
println "REVIEW " + getProjectEntry().getID() + " " + areas.size()
"""
REVIEWED = 'getProjectEntry().putMetadataValue("glomseg.reviewed", "by AB")'


@dataclass(frozen=True)
class Drawn:
    """What a person drew: where, of what shape and class, as an annotation or a detection."""

    shape: str
    class_name: str
    kind: str
    verdict: str
    x: int
    y: int
    side: int

    @property
    def counts(self) -> bool:
        return self.kind == "Annotation" and self.shape in AREAS and self.class_name in GLOMERULI

    @property
    def line(self) -> str:
        roi = {**AREAS, **NO_AREAS}[self.shape].format(x=self.x, y=self.y, side=self.side)
        return f'put(PathObjects.create{self.kind}Object({roi}), "{self.class_name}", "{self.verdict}")'


def anything(rng: random.Random) -> list[Drawn]:
    places = [(x, y) for x in range(60, 1180, 140) for y in range(60, 900, 140)]
    return [
        Drawn(
            shape=rng.choice([*AREAS, *AREAS, *NO_AREAS]),
            class_name=rng.choice([*GLOMERULI, *OTHERS]),
            kind=rng.choice(["Annotation"] * 6 + ["Detection"]),
            verdict=rng.choice(["", "", "", "accept", "edit"]),
            x=x,
            y=y,
            side=rng.randint(40, 110),
        )
        for x, y in rng.sample(places, 24)
    ]


def people_draw(project, glomseg, folder: Path, seed: int) -> dict[str, list[Drawn]]:
    """Let people draw anything in two images and mark these as reviewed; gives what they drew, by entry id."""
    rng = random.Random(seed)
    drawn = {image.entry_id: anything(rng) for image in read_project(project).images[:2]}
    script = folder / "draw.groovy"
    of_images = "".join(
        f"if (getProjectEntry().getID() == '{key}') {{\n{REVIEWED}\n" + "\n".join(item.line for item in items) + "\n}\n"
        for key, items in drawn.items()
    )
    script.write_text(HEAD + of_images, "utf-8")
    assert glomseg("qupath", "run", script, project, "--save").code == 0
    return drawn


def test_what_collect_leaves_to_people_the_import_leaves_to_them(moved, one_process, drive, glomseg, tmp_path):
    drawn = people_draw(moved, glomseg, tmp_path, seed=12)
    run = made_run(moved, "run-1", [], keys=tuple(drawn))
    rng = random.Random(13)
    for key, items in drawn.items():
        beside = [(item.x + rng.randint(0, 110), item.y + rng.randint(0, 110)) for item in items]
        write_geojson(run.result_path(key), discs("run-1", beside[::2]))
    twin = Path(shutil.copytree(moved.parent, moved.parents[1] / "twin")) / moved.name
    assert glomseg("collect", moved).code == 0
    drive(twin, "import_results")
    for key in drawn:
        ours, theirs = (standing(one_process, path, key).values() for path in (moved, twin))
        places = [{mark(item) for item in side if RUN in item.metadata} for side in (ours, theirs)]
        assert places[0] == places[1]
        kept = [
            json.loads((path.parent / f"glomseg/run-1/changes/{key}/1.json").read_text("utf-8"))
            for path in (moved, twin)
        ]
        for what in ("ids", "verdicts"):
            assert kept[0][what] == kept[1][what]
        assert len(kept[0]["ids"]) > 12
        assert kept[0]["verdicts"]
        assert 3 < len(places[0]) < 12


def test_every_command_and_script_takes_the_same_for_a_glomerulus(moved, drive, glomseg, tmp_path):
    drawn = people_draw(moved, glomseg, tmp_path, seed=11)
    images = {image.entry_id: image.name for image in read_project(moved).images if image.entry_id in drawn}
    table, out, theirs, ours = (tmp_path / name for name in ("all.csv", "out", "theirs", "ours"))
    drive(
        moved, f"measure_summary|{table}", f"export_glomeruli|{out}", f"export_training_tiles|folder={theirs}|size=256"
    )
    assert glomseg("measure", moved, "-o", tmp_path / "tables").code == 0
    assert glomseg("evaluate", moved, moved, "-o", tmp_path / "scores", "--no-pictures").code == 0
    cut = glomseg("export-tiles", moved, "-o", ours, "--size", 256)
    assert cut.code == 0, cut.err
    offered = tmp_path / "offered.groovy"
    offered.write_text(COUNTED_BY_THE_REVIEW.format(folder=list_scripts()["import_results"].parent.as_posix()), "utf-8")
    told = glomseg("qupath", "run", offered, moved).out.splitlines()
    reviewed = dict(line.split()[1:] for line in told if line.startswith("REVIEW "))
    summary = {row["entry_id"]: row for row in csv.DictReader(table.open(encoding="utf-8"))}
    slides = {row["image"]: row for row in read_csv(tmp_path / "tables/slides.csv")[1]}
    scores = {row["image"]: row for row in read_csv(tmp_path / "scores/per_slide.csv")[1]}
    for key, name in images.items():
        right = [item for item in drawn[key] if item.counts]
        sclerotic = sum(GLOMERULI[item.class_name] for item in right)
        assert len(right) > 4
        assert sclerotic > 1
        counts = {
            "measure": (slides[name]["profiles"], slides[name]["sclerotic"]),
            "the script": (summary[key]["glomeruli"], summary[key]["sclerotic"]),
        }
        assert counts == dict.fromkeys(counts, (str(len(right)), str(sclerotic)))
        assert reviewed[key] == str(len(right))  # and points and lines, which a person sees there
        assert len(read_geojson(out / f"{name} [{key}].geojson")) == len(right)
        assert scores[Path(name).stem]["true_objects"] == str(len(right))
        labels = [
            {path.name: path for path in (folder / Path(name).stem).glob("*-labelled.png")} for folder in (theirs, ours)
        ]
        assert labels[0].keys() == labels[1].keys()
        for tile, path in labels[0].items():
            one, other = (np.asarray(Image.open(label)) for label in (path, labels[1][tile]))
            assert np.count_nonzero(one != other) <= 0.005 * one.size  # half a pixel at the edges of rectangles

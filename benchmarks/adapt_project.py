"""Adapt a model in a real QuPath project as a person would, and show on other pictures what that changed.

    python benchmarks/adapt_project.py PICTURES OUTPUT [--species mouse] [--minutes 5]

PICTURES is a set as `tools.starter.pictures` lays it out: `chose` and `rest`, TIFF files with their truth beside them.
All come into a new project and are annotated. In those of `chose` a person made of the truth reviews: false outlines
are deleted, those that miss the shape by far are drawn again, missed glomeruli are drawn, unclear places become
`Ignore*`, and the image is marked as reviewed. `glomseg train --from-project` adapts the model to that, and those of
`rest`, which nobody touched, are annotated again with what the project then remembers. Their figures are printed before
and after, and pictures of both drawn to OUTPUT/pictures: green is found, red is false, blue is missed. Needs a QuPath.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from glomseg import open_slide
from glomseg.evaluation.evaluate_model import EvaluateOptions, EvaluationResult, evaluate_predictions
from glomseg.evaluation.matching import match, overlaps
from glomseg.geometry import geometries
from glomseg.labelled.label_files import Outlines, Selection, read_outlines
from glomseg.pictures.overlay import draw_outline
from glomseg.qupath.process import qupath_process
from glomseg.runs.run import Run
from glomseg.runs.run_list import find_run

REDRAWN_IOU = 0.7
"""An outline that a person takes the trouble to draw again."""
GREEN, RED, BLUE = (0, 170, 60), (220, 30, 30), (30, 90, 255)
PICTURE_PX = 700


def make_project(folder: Path, slides: Sequence[Path]) -> Path:
    """Make a project of slides, as QuPath does; returns its file."""
    from paquo.images import QuPathImageType
    from paquo.projects import QuPathProject

    with QuPathProject(folder, mode="x") as project:
        for slide in slides:
            project.add_image(slide, image_type=QuPathImageType.BRIGHTFIELD_OTHER)
        return Path(project.path)


def review(project_path: Path, truths: dict[str, Path]) -> dict[str, Counter[str]]:
    """Correct images by their truth, mark them as reviewed, and return what was done to each."""
    from paquo.classes import QuPathPathClass
    from paquo.projects import QuPathProject

    done = {}
    with QuPathProject(project_path, mode="r+") as project:
        for entry in project.images:
            if entry.image_name not in truths:
                continue
            truth = read_outlines(truths[entry.image_name], Selection())
            drawn = [item for item in entry.hierarchy.annotations if item.path_class is not None]
            met = overlaps(geometries([item.roi for item in drawn]), truth.geometries)
            matched = match(met)
            good = {
                int(at): int(which)
                for at, which, iou in zip(matched.predicted, matched.true, matched.iou, strict=True)
                if iou >= REDRAWN_IOU
            }
            bad = set(matched.predicted.tolist()) - set(good)
            for at, item in enumerate(drawn):
                if at not in good:
                    entry.hierarchy.annotations.discard(item)
            for which, outline in enumerate(truth.geometries):
                if which not in good.values():
                    entry.hierarchy.add_annotation(outline, path_class=QuPathPathClass("Glomerulus"))
            if truth.ignored is not None:
                entry.hierarchy.add_annotation(truth.ignored, path_class=QuPathPathClass("Ignore*"))
            entry.metadata["glomseg.reviewed"] = "truth"
            entry.save()
            done[entry.image_name] = Counter(
                kept=len(good),
                redrawn=len(bad),
                deleted=len(drawn) - len(good) - len(bad),
                added=len(truth.geometries) - len(good) - len(bad),
            )
        project.save(images=False)
    return done


def glomseg(*words: object) -> int:
    """Run a command and print it; returns its exit code."""
    command = ["glomseg", *map(str, words)]
    print("$", " ".join(command), flush=True)
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = subprocess.run([sys.executable, "-m", *command], check=False).returncode
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(f"exit code {code}, {time.perf_counter() - began:.0f} s, {cpu:.0f} s of processor time", flush=True)
    return code


def said(result: EvaluationResult) -> str:
    """Say what was found, alone and with candidates."""
    overall = result.summary.overall
    f1, dice = overall.pooled["f1"].value, overall.pooled["dice"].value
    false = overall.predicted_objects - overall.matched
    text = f"F1 {f1:.3f}, found {overall.matched} of {overall.true_objects}, false {false}, Dice {dice:.3f}"
    if result.candidates is None:
        return text
    everything = result.candidates.everything
    return f"{text}; with candidates {everything.matched} of {everything.predicted} shown"


def painted(slide_path: Path, predicted: Outlines, truth: Outlines) -> Image.Image:
    """Paint what is found, false and missed on a slide."""
    with open_slide(slide_path) as slide:
        picture = Image.fromarray(slide.overview(PICTURE_PX))
        scale = (picture.width / slide.width, picture.height / slide.height)
    matched = match(overlaps(predicted.geometries, truth.geometries))
    for outlines, hits, colour in (
        (truth.geometries, matched.true, BLUE),
        (predicted.geometries, matched.predicted, RED),
    ):
        for at, outline in enumerate(outlines):
            if at not in hits:
                draw_outline(picture, outline, (0, 0), scale, colour, 3)
            elif colour is RED:
                draw_outline(picture, outline, (0, 0), scale, GREEN, 3)
    return picture


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two pictures side by side, with a word above each."""
    both = Image.new("RGB", (left.width + right.width + 10, left.height + 22), "white")
    for picture, x, word in ((left, 0, "before"), (right, left.width + 10, "after")):
        both.paste(picture, (x, 22))
        ImageDraw.Draw(both).text((x + 4, 4), word, fill="black", font_size=14)
    return both


def outlines_in(run: Run) -> dict[str, Path]:
    """Return the file of outlines of each image of a run, by the image's name."""
    return {record.name: run.folder / f"{entry_id}.geojson" for entry_id, record in run.images.items()}


def main() -> None:
    """Do it all, step by step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--species", default="human")
    parser.add_argument("--minutes", default="5")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    parts: dict[str, list[Path]] = {part: sorted((options.pictures / part).glob("*.tif")) for part in ("chose", "rest")}
    options.output.mkdir(parents=True)
    slides = [Path(shutil.copy(path, options.output)) for paths in parts.values() for path in paths]
    with qupath_process() as qupath:
        project = qupath.call(make_project, options.output / "project", slides)
        assert glomseg("annotate", project, "--model", "pas-starter", "--species", options.species) == 0
        before = find_run(project.parent / "glomseg", None)
        truths = {path.name: path.with_suffix(".geojson") for path in parts["chose"]}
        done = qupath.call(review, project, truths)
    for name, counts in done.items():
        print(f"reviewed {name}: {dict(counts)}")
    print("reviewed in all:", dict(sum(done.values(), Counter())), flush=True)
    words: list[Any] = [word for setting in options.set for word in ("--set", setting)]
    model = options.output / "adapted"
    code = glomseg("train", "--from-project", project, "-o", model, "--minutes", options.minutes, *words)
    if code:
        sys.exit("the adapted model is no better on images left out, or there is none; nothing is annotated with it")
    glomseg("status", project)
    left_out = [word for path in parts["rest"] for word in ("--image", path.name)]
    assert glomseg("annotate", project, "--species", options.species, *left_out) == 0
    runs = {"before": before, "after": find_run(project.parent / "glomseg", None)}
    for name, run in runs.items():
        scores = EvaluateOptions(pictures=False, missing="skip")
        result = evaluate_predictions(run.folder, options.pictures / "rest", options.output / name, scores)
        print(f"{name}, {run.parameters.model}: {said(result)}", flush=True)
    folder = options.output / "pictures"
    folder.mkdir()
    for path in parts["rest"]:
        truth = read_outlines(path.with_suffix(".geojson"), Selection())
        sides = []
        for run in runs.values():
            predicted = read_outlines(outlines_in(run)[path.name], Selection()).without(truth.ignored)
            sides.append(painted(path, predicted, truth.without(truth.ignored)))
        beside(*sides).save(folder / f"{path.stem}.jpg", quality=85)


if __name__ == "__main__":
    main()

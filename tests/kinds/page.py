"""Write docs/kinds.md from the kinds that the tests hold: `PYTHONPATH=tests:. python -m kinds.page`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kinds.labels import LABELS, LabelCase
from kinds.outlines import OUTLINES, OutlineCase
from kinds.projects import PROJECTS, ProjectCase
from kinds.slides import READ, REFUSED, SlideCase

PAGE = Path(__file__).parents[2] / "docs/kinds.md"
INTRODUCTION = f"""# Kinds of input

What becomes of each kind of file that QuPath, people and other tools write: its value, or words of its refusal. Each
line is a test, through every command that reads such a file; where two commands differ, the page says so. This page is
written from those tests (`tests/kinds`): {len(LABELS)} masks, {len(OUTLINES)} files of outlines, {len(PROJECTS)}
projects, {len(READ) + len(REFUSED)} slides and pictures.
"""
MASKS = """Five discs, two of which touch: five objects where a mask numbers them, four where it is black and white.
`evaluate` and `train` read them alike."""
SCENE = """Four discs, and an outline of class `Glomerulus` around three of them ("all"); what a line names is one of
the three, or is around the fourth. `evaluate` reads a file as truth and as prediction, and leaves out what has its
centre in an area of class `Ignore*` of the truth. `export-tiles --geojson` gives such areas a label of their own over
all others, which `train` leaves out. `annotate --within` looks inside all annotations, whatever their class, but not
inside those of class `Ignore*`."""
PROJECT = """A project of one image with four glomeruli. `status` shows it, `annotate` outlines it, `measure` measures
that without QuPath. "Done" is four glomeruli of the right size."""
SLIDE = """A picture of 512 x 384 px with seven glomeruli. `segment` (of a file or a folder), `annotate` and `measure`
(of a project), `evaluate --model` and `export-tiles` read the same pixels of it, or refuse it with the same words; a
folder names what it leaves out. Where no pixel size is told, `--mpp` must give it.

A hole is a stretch of zeros where a file was not copied whole, found where compressed pixels hold no such stretch by
nature: from 128 bytes in JPEG, 512 in WebP and Zstd, and in JPEG 2000 from 24 more than a tile has packets. A shorter
one in JPEG 2000 is not found here: its coder makes pixels of any bytes, and the marks that few writers set (SOP, EPH,
segmentation symbols) are not looked at."""
OUTLINE_COLUMNS = ("GeoJSON", "`evaluate`", "`export-tiles`", "`annotate --within`", "says")


def page() -> str:
    """Return the text of the page."""
    masks = [(case.name, _mask(case)) for case in LABELS]
    outlines = [(case.name, *_outline(case)) for case in OUTLINES]
    projects = [(case.name, *_project(case)) for case in PROJECTS]
    slides = [(case.name, *_slide(case)) for case in (*READ, *REFUSED)]
    sections = (
        _section("Masks", MASKS, ("mask", "`evaluate`, `train`"), masks),
        _section("Outlines", SCENE, OUTLINE_COLUMNS, outlines),
        _section("Projects", PROJECT, ("project", "`status`", "`annotate`, `measure`", "says"), projects),
        _section("Slides and pictures", SLIDE, ("file", "all commands", "um per pixel", "says"), slides),
    )
    return "\n".join((INTRODUCTION, *sections))


def _section(title: str, text: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    cells = [[cell.replace("|", "/") for cell in row] for row in lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    return f"## {title}\n\n{text}\n\n{table}\n"


def _refused(words: str) -> str:
    return f"refused: ... {words} ..."


def _mask(case: LabelCase) -> str:
    return _refused(case.refusal) if case.objects is None else f"{case.objects} objects"


def _outline(case: OutlineCase) -> tuple[str, str, str, str]:
    """Fill the cells of `evaluate`, `export-tiles`, `annotate --within` and what is said."""
    if case.refusal:
        return (*(_refused(case.refusal),) * 3, "")
    counted = "all" if case.glomeruli == 3 else str(case.glomeruli)
    evaluated = f"{counted}, {case.area_px:,.0f} px"
    drawn = _refused(case.no_tiles) if case.no_tiles else counted
    if case.ignored:
        evaluated += f"; as truth {case.glomeruli - case.ignored}"
        drawn = f"{case.glomeruli - case.ignored}, the rest to be ignored"
    if case.says_of_slide:
        drawn = f"{case.looked_into} that lie on the image"
    looked = _refused(case.no_area) if case.no_area else f"in {case.looked_into}"
    said = (*case.says, *case.says_where_labelled, *case.says_where_counted, *case.says_of_slide)
    return evaluated, drawn, looked, "; ".join(said)


def _project(case: ProjectCase) -> tuple[str, str, str]:
    """Fill the cells of `status`, of `annotate` and `measure`, and what is said."""
    if case.refusal:
        return _refused(case.refusal), _refused(case.refusal), ""
    counts = ", ".join(f"{count} {name}" for name, count in (case.annotations or {}).items())
    if case.problem:
        status = "shown" if case.shows_when_opened else "names the problem"
        return status, "the image fails, others go on", case.problem
    return counts or "shown", "done", case.says


def _slide(case: SlideCase) -> tuple[str, str, str]:
    """Fill the cells of what is read, of the pixel size, and what is said."""
    if case.broken:
        return _refused("damaged or cut off"), "", ""
    if case.refusal:
        return _refused(case.refusal.replace(".*", " ... ")), "", ""
    size = case.mpp if isinstance(case.mpp, tuple) else (case.mpp,)
    return "read", " x ".join("not told" if side is None else f"{side:g}" for side in size), case.says


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

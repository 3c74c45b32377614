"""The documentation is true: its commands parse, its snippets run, its links lead somewhere, its pages build."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from glomseg_cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / name for name in ("tools/starter/README.md", "workflows/README.md", "benchmarks/README.md")),
    *sorted((ROOT / "models").glob("*/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """List the calls of glomseg in the shell blocks and the inline code of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = [line for kind, body in BLOCK.findall(text) if kind in ("sh", "bash") for line in body.splitlines()]
    inline = re.findall(r"`(glomseg [a-z][^`]*)`", BLOCK.sub("", text))
    return [line for line in (*blocks, *inline) if line.startswith("glomseg ")]


CALLS = [(page.name, line) for page in PAGES for line in command_lines(page)]


@pytest.mark.parametrize(("page", "line"), CALLS, ids=[f"{page}: {line[:60]}" for page, line in CALLS])
def test_a_command_of_the_docs_is_one(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{page} names {name!r}, which is no command"
        command = command.commands[name]
    try:
        command.make_parser(click.Context(command)).parse_args(words)
    except click.BadOptionUsage:
        if not words[-1].startswith("-"):  # an option may be named without its value
            raise
    except click.NoSuchOption as error:
        pytest.fail(f"{page}: {line}: {error.message}")


def test_the_docs_name_every_command() -> None:
    written = "\n".join(line for page, line in CALLS)
    missing = {name for name in cli.commands if f"glomseg {name}" not in written}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_help_of_train_names_every_recipe() -> None:
    (option,) = (item for item in cli.commands["train"].params if item.name == "recipe")
    recipes = {path.stem for path in (ROOT / "glomseg/training/recipes").glob("*.toml")}
    assert recipes == set(re.findall(r"[a-z0-9-]+", option.help.partition(":")[2]))


def test_every_picture_is_shown() -> None:
    shown = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not [path.name for path in (ROOT / "docs").rglob("*.jpg") if f"{path.name})" not in shown]


def table_rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the rows below the line of a page that begins with `heading`, bold or not."""
    lines = iter((ROOT / page).read_text(encoding="utf-8").replace("**", "").splitlines())
    next(line for line in lines if line.startswith(heading))
    next(lines)
    return [line.strip("| ").split(" | ") for line in itertools.takewhile(lambda line: line.startswith("|"), lines)]


CHOSE_NOTHING = "pictures_that_chose_nothing"


def f1_of(item: dict[str, int]) -> str:
    """Write F1 as counts give it: that of a card is rounded already, and 0.8454 is not 0.84."""
    return f"{2 * item['matched'] / (item['glomeruli'] + item['matched'] + item['false']):.2f}"


def test_the_tables_of_the_shipped_model_are_its_card() -> None:
    """In its README and in the documentation, and no interval stands over fewer than 15 pictures."""
    card = json.loads((ROOT / "models/pas-starter/card.json").read_text(encoding="utf-8"))
    of_readme, of_docs = [], []
    for scores in card["scores"]["pictures"].values():
        ours, kept = scores["these_weights"], scores[CHOSE_NOTHING]
        before, kept_before = (scores[f"weights_before, sureness 0.87{of}"] for of in ("", f", {CHOSE_NOTHING}"))
        assert all("interval" not in item or item["pictures"] >= 15 for item in scores.values())
        for item in scores.values():  # whatever the pictures were used for, and of whichever weights
            assert item["matched"] <= item["matched_with_candidates"] <= item["glomeruli"]
            assert item["matched"] + item["false"] <= item["shown_with_candidates"]
            assert abs(float(f1_of(item)) - item["object_f1"]) < 0.006
        assert kept["glomeruli"] + scores["pictures_that_the_weights_were_chosen_on"]["glomeruli"] == ours["glomeruli"]
        low_high = " ({:.2f} to {:.2f})".format(*ours["interval"]) if "interval" in ours else ""
        f1 = f"{f1_of(ours)}{low_high}"
        of_readme.append([
            *(str(ours[name]) for name in ("pictures", "glomeruli", "matched", "false")), f1, f"{ours['dice']:.2f}",
            f"{ours['matched_with_candidates']}, {ours['shown_with_candidates']}", f1_of(before),
            f"{f1_of(kept)}, {f1_of(kept_before)} ({kept['glomeruli']})",
            f"{kept['matched']}, {kept['false']}; {kept['matched_with_candidates']}, {kept['shown_with_candidates']}",
        ])  # fmt: skip
        of_docs.append([
            str(ours["glomeruli"]), f1, f"{ours['matched']}, and {ours['false']} false",
            str(ours["matched_with_candidates"]), f"{f1_of(kept)} of {kept['glomeruli']}",
            f"{kept['matched']}, and {kept['false']} false", str(kept["matched_with_candidates"]),
        ])  # fmt: skip
    assert [row[1:] for row in table_rows("models/pas-starter/README.md", "| tissue and stain | pictures")] == of_readme
    assert [row[1:] for row in table_rows("docs/models.md", "| tissue and stain | glomeruli")] == of_docs
    organs = [
        [f"{of[read]['false']} ({of[read]['candidates']})" for of, read in (
            (row, "read_as_human"), (row, "read_as_mouse"), (row["weights_before, sureness 0.87"], "read_as_mouse"),
        )]
        for row in card["scores"]["other_organs"].values()
    ]  # fmt: skip
    assert [row[1:] for row in table_rows("models/pas-starter/README.md", "| tissue | as human")] == organs
    composed = card["scores"]["composed"].values()
    assert sum(item["object_f1"] > item["before"] for item in composed) == 8  # as its README says
    said = f"{card['sureness']} (0.83"
    assert [dial["sureness"] for dial in card["dials"] if dial["tta"]] == [0.83]
    for page in ("models/pas-starter/README.md", "docs/models.md", "CHANGELOG.md"):
        assert said in (ROOT / page).read_text(encoding="utf-8"), page


def test_readme_is_a_beginning() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.slow
@pytest.mark.usefixtures("no_qupath")
def test_the_snippets_of_python_run(tmp_path: Path) -> None:
    """All of them, one after another in one process, beside the demo's project and without a QuPath."""
    from glomseg_cli.demo import copy_sample

    copy_sample(tmp_path / "project")
    shutil.copy(tmp_path / "project/kidney_biopsy.tif", tmp_path / "slide.tif")
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = "\n".join(body for kind, body in BLOCK.findall(page) if kind == "python")
    assert code.count("glomseg.") > 5
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_pages_build_without_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed (pip install '.[docs]')")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "equivalent_diameter_um" in (tmp_path / "site/measurements.html").read_text(encoding="utf-8")
    assert "--forget-rejections" in (tmp_path / "site/commands.html").read_text(encoding="utf-8")

"""glomseg train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import click

from glomseg.models.card import SPECIES_DIAMETER_UM

from . import options
from .commands import command
from .console import Console

UM_PX = click.FloatRange(0, 100, True, True)


class TrainFlags(TypedDict):
    """The options of the command that are those of the library."""

    recipe: str | None
    config: Path | None
    settings: tuple[str, ...]
    species: str | None
    epochs: int | None
    minutes: float | None
    seed: int | None
    split_by: Literal["slide", "case"] | None
    model_mpp: float | None
    tile_mpp: float | None
    workers: int | None
    split: Path | None
    start: str | None
    name: str | None
    licence: str
    device: str
    resume: bool
    restart: bool
    keep_anyway: bool
    believe_deletions: bool


@command(
    short_help="Learn from annotated tissue.",
    renamed={"--mpp": "--tile-mpp"},
    only_with={"project": ("slides", "believe_deletions")},
    never_with={"split": ("split_by",), "epochs": ("minutes",)},
)
@click.argument("data", nargs=-1, type=click.Path(path_type=Path), metavar="DATA...")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Folder for the model [of --name, among the user's models]."
)
@click.option(
    "--from-project",
    "project",
    type=click.Path(path_type=Path),
    metavar="PROJECT",
    help="Learn from what was reviewed in a QuPath project, beginning with the model of the last run that stands.",
)
@options.slides_option
@options.believe_deletions_option
@click.option(
    "--recipe",
    metavar="NAME",
    help="Settings to begin with: glomseg, retrain, sclerosis, sclerosis-each, kpis, kpis-reference, kpis-glomnet, "
    "kpis-mask2former, kpis-segformer, kpis-upernet.",
)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings, over the recipe's.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting, over all files. May be repeated."
)
@click.option("--tile-mpp", type=UM_PX, help="Size of a pixel in um of images that do not say it.")
@click.option("--model-mpp", type=UM_PX, help="Size of a pixel in um at which the network reads [the recipe's].")
@click.option("--species", type=click.Choice(tuple(SPECIES_DIAMETER_UM)), help="Whose kidney it is [the recipe's].")
@click.option("--start", metavar="MODEL", help="Begin with this model (a name or folder), not from nothing.")
@click.option("--epochs", type=click.IntRange(1), help="How long to train [the recipe's].")
@click.option(
    "--minutes",
    type=click.FloatRange(0, 600, min_open=True),
    help="Adapt the model it begins with in this time [5 with --from-project and no --epochs].",
)
@click.option("--keep-anyway", is_flag=True, help="Keep an adapted model that is worse than the one before.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help=options.DEVICE_HELP)
@click.option("--seed", type=click.IntRange(0), help="Another seed, another training [0].")
@click.option(
    "--by", "split_by", type=click.Choice(("slide", "case")), help="Keep slides, or cases, in one part [slide]."
)
@click.option("--split", type=click.Path(path_type=Path), help="Split as this split.json says.")
@click.option("--preview", is_flag=True, help="Draw what the network would see to preview.png, and stop.")
@options.resuming
@click.option("--workers", type=click.IntRange(0), help="Processes that prepare samples [the cores but one].")
@click.option("--name", help="The model's name [the folder's].")
@click.option("--licence", default="unstated", show_default=True, help="Licence of the data, for the model's card.")
@options.output
def train(
    data: tuple[Path, ...],
    output: Path | None,
    project: Path | None,
    slides: tuple[Path, ...],
    preview: bool,
    as_json: bool,
    quiet: bool,
    **flags: Unpack[TrainFlags],
) -> int:
    """Learn from annotated tissue, and write a model that --model takes.

    \b
    glomseg train TILES -o MODEL                    what glomseg export-tiles or QuPath exported
    glomseg train --from-project PROJECT -o MODEL   what was reviewed in a QuPath project
    glomseg train KPIS --recipe kpis -o MODEL       the KPIs 2024 challenge's folders
    glomseg train DATA -o MODEL --preview           look first at what the network would see
    torchrun --nproc-per-node 4 -m glomseg_cli.main train DATA -o MODEL      on several GPUs

    DATA are folders of images with their labels; pairs match by name. The folder gets card.json and
    weights.safetensors (the best epoch so far), config.toml, split.json, history.csv, curves.png and worst.png.
    After an interruption the same command goes on.

    --from-project adapts the model in five minutes (--minutes) and says on reviewed images left out what that gained,
    and what it forgot of the starter's tissue; a worse model is not put in the place of a better one.
    """
    from glomseg.models.store import user_models_folder
    from glomseg.training.train_model import TrainOptions, preview_training, retrain_from_project, train_model

    from .training import show_result, training_bars

    if output is None:
        if flags["name"] is None:
            raise click.UsageError("Say where the model goes: --output FOLDER, or --name NAME among the user's models.")
        output = user_models_folder() / flags["name"]
    if not data and project is None:
        raise click.UsageError("Nothing to learn from: name folders of tiles, or a project with --from-project.")
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started, one speaks
    console = Console(quiet=quiet or not first, as_json=as_json)
    asked = TrainOptions(**flags)
    with training_bars(console) as progress:
        if preview:
            path = preview_training(
                data, output, asked, project=project, slides=slides, progress=progress, tell=console.say
            )
        elif project is None:
            result = train_model(data, output, asked, progress=progress, tell=console.say)
        else:
            result = retrain_from_project(
                project, output, asked, slides=slides, folders=data, progress=progress, tell=console.say
            )
    if preview:
        console.say(f"drew {path}")
    elif first:
        show_result(console, result)
        return int(result.adapted is not None and not result.adapted.is_kept)
    return 0

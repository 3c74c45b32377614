"""`glomseg models`: what there is, what it was trained on, bringing one in and taking one elsewhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from glomseg.files import json_text
from glomseg.models.card import SPECIES_DIAMETER_UM

from . import options
from .commands import Commands
from .console import Console
from .model_scores import show_scores

if TYPE_CHECKING:
    from glomseg.models.foreign import Architecture

_AGAIN = "nothing half is there; give the same command again, and what it says is there already is whole"
"""After Ctrl-C, for what does not replace what it may have made just then."""


@click.group(cls=Commands)
def models() -> None:
    """List, show, check, import, merge, export, pack and unpack models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """List the models in the folders of GLOMSEG_MODELS, in .glomseg/models at home, and those shipped with glomseg."""
    from glomseg.errors import ModelError
    from glomseg.models.store import list_models, read_card

    cards, console = {}, Console(quiet=False, as_json=as_json)
    for name, folder in list_models().items():
        try:
            cards[name] = read_card(folder)
        except ModelError as error:
            console.warn(str(error))
    if as_json:
        click.echo(json_text({name: json.loads(card.to_json()) for name, card in cards.items()}))
        return
    rows = [(name, card.species, f"{card.mpp:g}", card.description) for name, card in cards.items()]
    console.table(("model", "species", "um/px", "description"), rows)


@models.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the card of model NAME: how it reads, what it was trained on, how good it is."""
    from glomseg.models.store import find_model, read_card

    click.echo(read_card(find_model(name)).to_json(), nl=False)


@models.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def architectures(as_json: bool) -> None:
    """List the networks that a training can have, in some of their sizes: what each needs, weighs and costs.

    The cost is CPU time a pixel over that of the network of the shipped model, as measured; see the documentation.
    """
    from glomseg.models.architectures import list_architectures

    found = list_architectures()
    if as_json:
        click.echo(json_text([dataclasses.asdict(info) for info in found]))
        return
    rows = []
    for info in found:
        remarks = [] if info.installed else [f"pip install 'glomseg[{info.extra}]'"]
        remarks += [info.comes] if info.comes else []
        remarks += ["hover"] if info.hover and info.trainable else []
        remarks += [f"no ONNX: {info.export_problem}"] if info.export_problem else []
        rows.append(
            (
                info.architecture,
                ", ".join(f"{key} {value}" for key, value in info.arguments.items()),
                "" if info.parameters is None else f"{info.parameters / 1e6:.2f} M",
                "" if info.cost is None else f"{info.cost:g}",
                info.extra,
                ", ".join(remarks),
            )
        )
    Console(quiet=False, as_json=as_json).table(
        ("architecture", "arguments", "parameters", "cost", "extra", "remarks"), rows
    )


@models.command(only_with={"data": ("output", "mpp", "samples", "part", "species", "device")})
@click.argument("name")
@click.option(
    "--scores",
    "data",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Measure the card's figures again on DATA: images with their truth, or a project.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="With --scores: folder to keep what came out.")
@click.option("--mpp", type=options.PixelSize(), help="With --scores: size of a pixel where the files do not say it.")
@options.samples_option
@click.option(
    "--part",
    type=click.Choice(("train", "validation", "test")),
    help="With --scores: this part of the data alone [the test part of what the model learned from].",
)
@click.option("--species", type=click.Choice(tuple(SPECIES_DIAMETER_UM)), help="With --scores: read at this scale.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help=options.DEVICE_HELP)
@options.output
def verify(
    name: str,
    data: Path | None,
    output: Path | None,
    mpp: tuple[float, float] | None,
    samples: Path | None,
    part: str | None,
    species: str | None,
    device: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Check that the weights of model NAME are whole and fit its card, and with --scores its figures as well.

    The figures stand beside those of the card, with a word on whether DATA are what the card was measured on. The exit
    code is 1 where they are, all of them and by the model's own split, and its figures do not come out again, and where
    one of DATA could not be read.
    """
    from glomseg.models.store import verify_model

    if data is None:
        card = verify_model(name)
        _tell({card.name: card.weights_sha256}, [f"{card.name}: whole, sha256 {card.weights_sha256}"], quiet, as_json)
        return 0
    from glomseg.evaluation.evaluate_model import EvaluateOptions
    from glomseg.evaluation.verify_scores import verify_scores
    from glomseg.runs.segmenter import SegmentOptions

    segment = SegmentOptions(species=species, device=device)
    asked = EvaluateOptions(mpp=mpp, samples=samples, part=part, segment=segment, command=options.command_line())
    console = Console(quiet=quiet, as_json=as_json)
    with TemporaryDirectory() as scratch, console.listening() as listener:
        result = verify_scores(name, data, output or Path(scratch), asked, listener=listener)
    show_scores(console, result, data)
    return int(result.is_repeated is False or bool(result.evaluation.unread))


@models.command("import", interrupted=_AGAIN, renamed={"--mpp": "--model-mpp", "--class-names": "--class"})
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--architecture",
    type=click.Choice(("variable-unet", "mask2former", "segformer", "upernet")),
    default="variable-unet",
    show_default=True,
    help="What the weights are of: the reference project's network, or one of mmsegmentation 1.x.",
)
@click.option(
    "--class",
    "class_names",
    multiple=True,
    default=("Glomerulus",),
    metavar="NAME",
    help="A class, in the order of the outputs, without a background. May be repeated [Glomerulus].",
)
@click.option("--model-mpp", type=click.FloatRange(0.05, 100), required=True, help="Um per pixel that it reads at.")
@click.option(
    "--species",
    type=click.Choice(tuple(SPECIES_DIAMETER_UM)),
    default="mouse",
    show_default=True,
    help="What it learned.",
)
@click.option("--patch-size", type=int, help="Patch size that it was built for [told from the weights].")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder of the new model.")
@options.output
def import_(
    file: Path,
    architecture: Architecture,
    class_names: tuple[str, ...],
    model_mpp: float,
    species: str,
    patch_size: int | None,
    output: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Take over a PyTorch state dict (.pth) as a model folder.

    It is one of the reference project, or with --architecture one of mmsegmentation 1.x, whose size its shapes tell.
    Only tensors are read: a file that would run code on loading is refused.
    """
    from glomseg.models.foreign import import_state_dict

    card = import_state_dict(
        file,
        output,
        architecture=architecture,
        class_names=class_names,
        mpp=model_mpp,
        training_diameter_um=SPECIES_DIAMETER_UM[species],
        species=species,
        patch_size=patch_size,
    )
    lines = [f"{card.name}: {output}"]
    if architecture == "variable-unet" and patch_size is None:
        size = card.architecture_args["patch_size"]
        lines.append(f"patch size {size} by its weights{', which those of 512 have too' if size == 256 else ''}")
    _tell({card.name: str(output)}, lines, quiet, as_json)


@models.command()
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="New folder for the files.")
@click.option(
    "--format", "formats", type=click.Choice(("onnx", "torchscript")), multiple=True, hidden=True, help="What to write."
)
@options.output
def export(name: str, output: Path, formats: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Write model NAME as ONNX, for programs that run without glomseg.

    The folder also gets the card, which says what goes in and what comes out, and a README with an example. It is a
    model for glomseg too. Writing needs two more packages: pip install 'glomseg[export]'.
    """
    from glomseg.errors import ModelError
    from glomseg.models.exporting import export_model

    if "torchscript" in formats:
        raise ModelError("TorchScript is no longer written: PyTorch does not develop it any more; take ONNX")
    path = export_model(name, output)
    _tell({name: str(path)}, [f"{path}: {path.stat().st_size / 1e6:.1f} MB"], quiet, as_json)


@models.command(interrupted=_AGAIN)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder of the new model.")
@options.output
def merge(names: tuple[str, ...], output: Path, quiet: bool, as_json: bool) -> None:
    """Make one model of several that know other classes each, such as one for each kind of glomerulus.

    They must read at one um per pixel. Each class is outlined where its own model outlined it; a pixel that several
    claim is of the more probable class.
    """
    from glomseg.models.merging import merge_models

    made = merge_models(names, output)
    lines = [f"{made.card.name}: {', '.join(made.card.class_names)}, in {output}", *made.remarks]
    _tell({made.card.name: str(output)}, lines, quiet, as_json)


@models.command(interrupted=_AGAIN)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="New file, NAME.glomseg.")
@options.output
def pack(names: tuple[str, ...], output: Path, quiet: bool, as_json: bool) -> None:
    """Put models into one file, to carry to a machine without network.

    There, `glomseg models unpack FILE` takes it in. That machine needs glomseg itself: `pip wheel . -w wheels` in a
    checkout, on a machine like it that has network, collects all Python packages, the models that come with glomseg
    among them, and `pip install --no-index --find-links wheels glomseg` installs them there.
    """
    from glomseg.models.pack import pack_models

    packed = pack_models(names, output)
    lines = [f"{name}: sha256 {digest}" for name, digest in packed.items()]
    _tell(packed, [*lines, f"{output}: {output.stat().st_size / 1e6:.1f} MB"], quiet, as_json)


@models.command(interrupted=_AGAIN)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder of models to put them in [the first of GLOMSEG_MODELS, else .glomseg/models at home].",
)
@options.output
def unpack(file: Path, output: Path | None, quiet: bool, as_json: bool) -> None:
    """Take in the models of a FILE that `glomseg models pack` made; afterwards --model NAME finds them.

    Every sha256 is checked; a model that is there already is not replaced.
    """
    from glomseg.models.pack import unpack_models
    from glomseg.models.store import read_card, user_models_folder

    folders = unpack_models(file, output or user_models_folder())
    lines = [f"{name}: {folder}, sha256 {read_card(folder).weights_sha256}" for name, folder in folders.items()]
    _tell({name: str(folder) for name, folder in folders.items()}, lines, quiet, as_json)


def _tell(made: Mapping[str, str], lines: Iterable[str], quiet: bool, as_json: bool) -> None:
    """Print what was made, by model: lines for people, or JSON."""
    if as_json:
        click.echo(json_text(made))
    elif not quiet:
        for line in lines:
            click.echo(line)

"""The first stage as every command runs it: a loaded model, how to use it, and what the run folder says of that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.errors import ModelError, RunError
from glomseg.models.card import DEFAULT_MODEL, PostName
from glomseg.models.crop_classifier import load_classifier
from glomseg.models.ensemble import load_models, members_of
from glomseg.models.machine import BackendChoice
from glomseg.models.predict import Model
from glomseg.models.store import find_model
from glomseg.pictures.overlay import OverlayStyle
from glomseg.runs.candidates import CandidateChoice
from glomseg.runs.listener import Listener
from glomseg.runs.run import RunParameters
from glomseg.runs.segment_batch import Extras
from glomseg.runs.shard import Shard
from glomseg.segment.pipeline import SegmentSettings, Stitch, outline_settings, sureness_of, threshold_of
from glomseg.segment.suggest import Suggester

SLIDE_TIMEOUT = 900.0
"""For how many seconds a worker may say nothing."""


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """How to segment the images of a project, or plain slides.

    `model` is a name or a folder, or several that predict together; None is the shipped one, and in a project the one
    that it was adapted to. `device` is auto, cpu, cuda, cuda:N or mps; `backend` is what computes on a CPU, for auto
    what was measured to be the fastest on this processor, see `load_model`.
    `threshold` (of the outline), `sureness` (the mean probability from which an object counts; others are kept aside
    as candidates), `species` and `batch` are the model's and the device's where they are None. `candidates` are
    dropped (none), kept in the run folder for the review, or put among the outlines as well (all), under a class that
    nothing counts. `mpp` is (x, y) in um per level-0 pixel. `icc` reads colours as the ICC profile in each file says;
    without it they are read as they are stored, and profiles that differ from sRGB are named. `overlay` draws a
    picture of each image. `resume` demands a run to go on with, `restart` starts a new one; without them an unfinished
    run of the same settings goes on.
    `tta_scales` averages over enlargements, `post` names how probabilities become objects (None: as the card says),
    `stitch` and `overlap` are those of `SegmentSettings`. `command` is kept in run.json.

    `sclerosis` asks the shipped classifier which profiles look globally sclerosed: `suggest` measures how probable it
    is and marks them for the review, `classify` gives them the class.

    `shard` segments this share of the images alone; others do theirs into the same run, at the same time or later.
    `workers` processes share the images out among them, as many as fit this machine for "auto"; 0 is this process. One
    that dies or says nothing for `slide_timeout` seconds is replaced, and its slide tried once more by another. Slides
    are copied to the folder `cache` while those before them are segmented, and removed when they are done with. A
    `scheduler` of dask.distributed, by its address, deals them out to its own workers instead.
    """

    model: str | Path | Sequence[str | Path] | None = None
    device: str = "auto"
    backend: BackendChoice = "auto"
    threshold: float | None = None
    sureness: float | None = None
    species: str | None = None
    tta: bool = False
    tta_scales: tuple[float, ...] = ()
    post: PostName | None = None
    stitch: Stitch = "own"
    overlap: float | None = None
    batch: int | None = None
    mpp: tuple[float, float] | None = None
    icc: bool = False
    overlay: OverlayStyle | None = None
    keep_probability: bool = False
    candidates: CandidateChoice = "review"
    resume: bool = False
    restart: bool = False
    command: str | None = None
    sclerosis: Literal["off", "suggest", "classify"] = "off"
    shard: Shard | None = None
    workers: int | Literal["auto"] = 0
    slide_timeout: float = SLIDE_TIMEOUT
    cache: Path | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        """Check what holds between options; raises RunError."""
        if self.scheduler is not None and self.workers not in (0, "auto"):
            raise RunError("`scheduler` and `workers` both say who does the slides; give one of them")
        if self.scheduler is not None and self.cache is not None:
            raise RunError(
                "`cache` is a disk of this machine, and the workers of `scheduler` read slides where they lie; "
                "leave one of them away"
            )
        if self.scheduler is not None and self.slide_timeout != SLIDE_TIMEOUT:
            raise RunError(
                "`slide_timeout` is for workers of this machine, and those of a `scheduler` obey that one; leave it out"
            )
        if self.workers == 0 and self.scheduler is None and self.slide_timeout != SLIDE_TIMEOUT:
            raise RunError("`slide_timeout` is for workers, and 0 `workers` are none; leave one of them away")
        if self.shard is not None and self.restart:
            raise RunError(
                "`restart` starts a run over that shards share; take its folder away, then start all shards without it"
            )


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A loaded model, the folder where it lies, and how to use it."""

    model: Model
    folder: Path
    settings: SegmentSettings
    options: SegmentOptions
    suggester: Suggester | None = None

    @classmethod
    def load(cls, options: SegmentOptions, listener: Listener | None = None) -> Segmenter:
        """Load the model onto its device, before anything else can take time; raises ModelError, DeviceError."""
        settings = SegmentSettings(
            threshold=options.threshold,
            sureness=options.sureness,
            species=options.species,
            tta=options.tta,
            scales=options.tta_scales,
            post=options.post,
            stitch=options.stitch,
            overlap=options.overlap,
            batch_size=options.batch,
        )
        asked = DEFAULT_MODEL if options.model is None else options.model
        names = [asked] if isinstance(asked, str | Path) else list(asked)
        warn = (lambda text: None) if listener is None else listener.warning
        model = load_models(names, options.device, options.backend, warn)
        if listener is not None:
            colours = "" if model.card.look else "; its card says no colours, so that no slide is doubted for its own"
            by = "" if model.backend == "torch" else f", computed by {model.computed_by}"
            listener.remark(f"model {model.card.name} on {model.device}{by}{colours}")
        outline_settings(model.card, settings)  # what cannot be is refused before anything else
        if options.sclerosis == "off":
            suggester = None
        elif model.card.num_classes == 1:
            suggester = Suggester(load_classifier(), classify=options.sclerosis == "classify")
        else:
            raise ModelError(
                f"{model.card.name} tells {', '.join(model.card.class_names)} apart itself; leave `sclerosis` away"
            )
        folder = find_model(names[0]).resolve()
        return cls(model=model, folder=folder, settings=settings, options=options, suggester=suggester)

    def parameters(self, *, region: str | None = None) -> RunParameters:
        """Name all that decides the result beside the image."""
        settings, (card, *others) = self.settings, [member.card for member in members_of(self.model)]
        post = settings.post or card.post
        mean = settings.stitch == "mean"
        return RunParameters(
            model=card.name,
            model_sha256=card.weights_sha256,
            card_sha256=hashlib.sha256(card.to_json().encode()).hexdigest(),
            threshold=threshold_of(card, self.settings),
            sureness=sureness_of(card, self.settings) or None,
            species=self.settings.species,
            tta=self.settings.tta,
            tta_scales=self.settings.scales,
            with_models=tuple(f"{other.name} {other.weights_sha256}" for other in others),
            post=None if post == "glomseg" else post,
            stitch=settings.stitch if mean else None,
            overlap=(0.5 if settings.overlap is None else settings.overlap) if mean else None,
            tile_px=card.patch_size_pixels,
            halo_px=self.model.card.halo_pixels,
            icc=self.options.icc,
            region=region,
            sclerosis=None if self.suggester is None else self.options.sclerosis,
            classifier_sha256=None if self.suggester is None else self.suggester.classifier.card.weights_sha256,
        )

    def extras(self, scratch: Path | None = None) -> Extras:
        """Name what is made of each slide beside its outlines."""
        return Extras(
            overlay=self.options.overlay,
            keep_probability=self.options.keep_probability,
            candidates=self.options.candidates,
            suggester=self.suggester,
            scratch=scratch,
        )

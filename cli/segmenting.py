"""The first stage as all commands run it: load the model, segment into a run folder, show what came out."""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.models.predict import Model, load_model
from glomseg.models.store import find_model
from glomseg.pictures.overlay import OverlayStyle
from glomseg.runs.run import Run, now
from glomseg.runs.segment_batch import Job, segment_all
from glomseg.segment.pipeline import SegmentSettings

from .console import Console


@dataclass(frozen=True)
class Segmenting:
    """A loaded model, the folder where it lies, and how to use it."""

    console: Console
    model: Model
    folder: Path
    settings: SegmentSettings
    overlay: OverlayStyle | None
    keep_probability: bool

    @classmethod
    def prepare(
        cls,
        console: Console,
        *,
        model: str,
        device: str,
        threshold: float | None,
        species: str | None,
        tta: bool,
        batch: int | None,
        keep_probability: bool,
        overlay: bool = False,
        overlay_color: str = "class",
        overlay_width: int = 1600,
        restart: bool = False,
    ) -> Segmenting:
        """Load the model onto its device, before anything else can take time."""
        loaded = load_model(model, device)
        console.say(f"model {loaded.card.name} on {loaded.device}")
        settings = SegmentSettings(threshold=threshold, species=species, tta=tta, batch_size=batch)
        style = OverlayStyle(
            width_px=overlay_width, color_by="confidence" if overlay_color == "confidence" else "class"
        )
        return cls(console, loaded, find_model(model).resolve(), settings, style if overlay else None, keep_probability)

    def parameters(self, *, region: str | None) -> dict[str, Any]:
        """Name all that decides the result beside the image, as run.json keeps it."""
        card = self.model.card
        return {
            "model": card.name,
            "model_sha256": card.weights_sha256,
            "card_sha256": hashlib.sha256(card.to_json().encode()).hexdigest(),
            "threshold": card.threshold if self.settings.threshold is None else self.settings.threshold,
            "species": self.settings.species,
            "tta": self.settings.tta,
            "tile_px": card.patch_size_pixels,
            "halo_px": card.halo_pixels,
            "region": region,
        }

    def run(self, run: Run, jobs: list[Job]) -> None:
        """Segment `jobs` into `run`."""
        run.details.update(
            command=shlex.join(["glomseg", *sys.argv[1:]]),
            device=str(self.model.device),
            model_folder=str(self.folder),
            ended=None,
        )
        run.save()
        with self.console.progress(len(jobs)) as listener:
            segment_all(
                jobs,
                self.model,
                run,
                self.settings,
                overlay=self.overlay,
                keep_probability=self.keep_probability,
                listener=listener,
            )
        run.details["ended"] = now()
        run.save()

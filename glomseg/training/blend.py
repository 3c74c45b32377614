"""How much of what was learned is kept: a mean of old and new weights, with the share that is best on images left out.

A few pictures teach a network their own look too; a mean with the weights that it began with keeps what holds elsewhere
(Wortsman et al. 2022, Robust fine-tuning of zero-shot models).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain

import torch

from glomseg.models.network import Network
from glomseg.training.dials import ChosenDials, OutlinedImage, at_dials, choose_dials

BLENDS = (1.0, 0.75, 0.5, 0.25)
"""Shares of the new weights that are tried, the rest being the old ones'."""

Halves = Sequence[Sequence[OutlinedImage]]


def blended(old: Network, new: Network, share: float) -> Network:
    """Return a network with `share` of the new weights and the rest of the old ones."""
    net = copy.deepcopy(new)
    theirs = old.state_dict()
    net.load_state_dict(
        {
            name: torch.lerp(theirs[name].to(value), value, share) if value.is_floating_point() else value
            for name, value in new.state_dict().items()
        }
    )
    return net.eval()


def choose_blend(after: Mapping[float, Halves], thresholds: Sequence[float]) -> tuple[float, ChosenDials]:
    """Choose a share of the new weights and its dials: the best object F1 over all halves, of equals the larger share.

    `after` is, by share, what was outlined on each half.
    """
    dials = {blend: choose_dials(list(chain(*halves)), thresholds) for blend, halves in after.items()}
    blend = max(dials, key=lambda share: (*dials[share].sure.rank, share))
    return blend, dials[blend]


def crossed(after: Mapping[float, Halves], thresholds: Sequence[float]) -> ChosenDials:
    """Score each half with the share and the dials that the others choose, and add up."""
    parts = []
    for number in range(len(next(iter(after.values())))):
        others = {blend: [half for at, half in enumerate(halves) if at != number] for blend, halves in after.items()}
        blend, chosen = choose_blend(others, thresholds)
        parts.append(at_dials(after[blend][number], chosen.threshold, chosen.sureness))
    first, *rest = parts
    for part in rest:
        first = ChosenDials(
            first.threshold, first.sureness, first.sure + part.sure, first.with_candidates + part.with_candidates
        )
    return first

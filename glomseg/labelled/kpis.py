"""The KPIs 2024 challenge's folders, and the scale at which it scores."""

from __future__ import annotations

GROUPS = ("56Nx", "DN", "NEP25", "normal")
MPP_40X = 0.2395


def group_of(parts: tuple[str, ...]) -> str | None:
    """Name the challenge's group that stands among the parts of a path, spelled `56Nx` or `56NX`; None without one."""
    known = {name.lower(): name for name in GROUPS}
    return next((known[part.lower()] for part in parts if part.lower() in known), None)


def reduction(mpp: float | None, group: str | None) -> int:
    """Tell by how much to reduce a slide to 40X, where everything is scored: 2 for one digitised at 80X, else 1.

    The slide's own um per pixel decides; without it the group does, of which the challenge scanned NEP25 alone at 40X.
    """
    if mpp is not None:
        return 2 if mpp < 0.75 * MPP_40X else 1
    return 2 if group in ("56Nx", "DN", "normal") else 1

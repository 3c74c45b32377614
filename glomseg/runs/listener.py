"""What a caller may hear of while a command of the library works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from glomseg.runs.image_record import ImageRecord


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Functions that are called as work goes on; each does nothing where it is left out.

    `planned` hears how many images are to be segmented, `started` the name of the one that begins, `tiles` how many of
    its tiles are done, of how many, and `ended` its name and record. `in_project` hears the name of the image that is
    about to be written, and `waiting` what takes a while. `remark` hears what is good to know, `warning` what is wrong
    or left out, a sentence at a time; the result holds both.
    """

    planned: Callable[[int], None] = lambda count: None
    started: Callable[[str], None] = lambda name: None
    tiles: Callable[[int, int], None] = lambda done, total: None
    ended: Callable[[str, ImageRecord], None] = lambda name, record: None
    waiting: Callable[[str], None] = lambda what: None
    in_project: Callable[[str], None] = lambda name: None
    remark: Callable[[str], None] = lambda text: None
    warning: Callable[[str], None] = lambda text: None


def keeping(listener: Listener | None) -> tuple[Listener, list[str]]:
    """Return a listener that passes on what it hears, and the list in which it keeps remarks and warnings."""
    listener, kept = listener or Listener(), list[str]()

    def keep(pass_on: Callable[[str], None]) -> Callable[[str], None]:
        def hear(text: str) -> None:
            kept.append(text)
            pass_on(text)

        return hear

    return replace(listener, remark=keep(listener.remark), warning=keep(listener.warning)), kept

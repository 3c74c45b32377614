"""A share of many images, for job arrays: which images are mine, told by their names alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from glomseg.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Number `number` of `count` shares, counted from 1; raises RunError for one that is not among them."""

    number: int
    count: int

    def __post_init__(self) -> None:
        """Check that there is such a share."""
        if not 1 <= self.number <= self.count:
            raise RunError(f"`shard` is {self.number}/{self.count}; give a number from 1 to {self.count}, such as 1/5")

    def __str__(self) -> str:
        """Name it as one says it."""
        return f"shard {self.number} of {self.count}"

    @property
    def name(self) -> str:
        """Name it as files do."""
        return f"shard-{self.number}-of-{self.count}"

    def share(self, entry_ids: Iterable[str]) -> set[str]:
        """Choose this shard's images of all: shares differ by one at most, and neighbours in a folder are spread.

        The images are put in the order of the sha256 of their ids, and dealt out like cards. Every shard must be given
        the same list; one that grew meanwhile is dealt out anew.
        """
        dealt = sorted(set(entry_ids), key=lambda entry_id: (hashlib.sha256(entry_id.encode()).digest(), entry_id))
        return set(dealt[self.number - 1 :: self.count])


class _Image(Protocol):
    @property
    def entry_id(self) -> str: ...


_T = TypeVar("_T", bound=_Image)


def share_of(images: Sequence[_T], shard: Shard | None) -> tuple[list[_T], tuple[str, ...]]:
    """Return a shard's images, in order, and how many of all these are; all of them where there is no shard."""
    if shard is None:
        return list(images), ()
    mine = shard.share(image.entry_id for image in images)
    return [image for image in images if image.entry_id in mine], (f"{shard}: {len(mine)} of {len(images)} slides",)


def parse_shard(text: str) -> Shard:
    """Return the shard that `2/5` names; raises RunError."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
    if match is None:
        raise RunError(f"`shard` is {text!r}; give number and count, such as 2/5")
    return Shard(number=int(match[1]), count=int(match[2]))

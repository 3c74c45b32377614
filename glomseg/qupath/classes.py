"""One rule of which objects are of a class, and one count of those that a command leaves out.

Classes are compared as QuPath does: "Glomerulus:Sclerotic" is "Glomerulus: Sclerotic", which is derived from
"Glomerulus" and counts as one. A spelling that QuPath takes for another class but that a person means as the same
(glomerulus, Glomeruli, " Glomerulus", "Glomerulus, sclerotic", one wrong letter) counts too, and is to be said:
`describe_spellings`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from glomseg.qupath.objects import PathObject

ANNOTATION = "annotation"
CANDIDATE = "Candidate"
"""What the class of an outline begins with that is not sure enough to count: it is no kind of glomerulus."""

_BLANKS = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace() and sign not in "\x85\xa0\u2007\u202f")
"""What Java, and so QuPath, takes off the ends of a name."""
_LONG = 8
"""Letters of a word from which one wrong letter is taken for a slip."""


@dataclass(frozen=True, kw_only=True)
class LeftOutObjects:
    """Objects that a command made no use of: how many, by class ("" for none) and kind."""

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __add__(self, other: LeftOutObjects) -> LeftOutObjects:
        """Count both."""
        return LeftOutObjects(counts=Counter(self.counts) + Counter(other.counts))

    def __bool__(self) -> bool:
        """Tell whether anything was left out."""
        return any(self.counts.values())

    def rows(self) -> list[dict[str, str | int]]:
        """Return the counts as rows of a table."""
        entries = sorted(self.counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return [{"class": name, "kind": kind, "count": count} for (name, kind), count in entries if count]

    def __str__(self) -> str:
        """Say it in words: "left out: 7 detections of class Glomerulus, 1 annotation without a class"."""
        parts = [
            f"{row['count']} {row['kind']}{'' if row['count'] == 1 else 's'} "
            + (f"of class {row['class']}" if row["class"] else "without a class")
            for row in self.rows()
        ]
        return f"left out: {', '.join(parts)}" if parts else "nothing left out"


def names_of(class_name: str | None) -> tuple[str, ...]:
    """Split a class as QuPath does: "A : B" is ("A", "B"), B derived from A; blanks that do not break a line stay."""
    return tuple(name for part in (class_name or "").split(":") if (name := part.strip(_BLANKS)))


def shown(name: str) -> str:
    """Take out of a name what does not show, such as a blank of no width that came out of a web page."""
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf")


def candidate_class(class_name: str) -> str:
    """Name the class of a candidate for a class: "Glomerulus" gives "Candidate: Glomerulus"."""
    return f"{CANDIDATE}: {class_name}"


def is_candidate(class_name: str | None) -> bool:
    """Tell whether a class is one of candidates."""
    return names_of(class_name)[:1] == (CANDIDATE,)


def is_exactly(class_name: str | None, wanted: str) -> bool:
    """Tell whether QuPath takes a class for `wanted` or for one derived from it, and does not ignore it for a star."""
    names, parents = names_of(class_name), names_of(wanted)
    return _begins(names, parents) and (not _is_starred(names) or _is_starred(parents))


def is_class(class_name: str | None, wanted: str) -> bool:
    """Tell whether a class is `wanted`, one derived from it, or a near spelling of either."""
    if is_exactly(class_name, wanted):
        return True
    if _is_starred(names_of(class_name)) and not _is_starred(names_of(wanted)):
        return False
    return _begins(_bare_names(class_name), _bare_names(wanted), alike=_alike)


def _is_starred(names: Sequence[str]) -> bool:
    """Tell whether QuPath ignores a class, as "Ignore*" and "Glomerulus: Artefact*": its last name ends in a star."""
    return bool(names) and names[-1].endswith("*")


def best_class(class_name: str | None, wanted: Sequence[str]) -> str | None:
    """Choose among `wanted` the class that an object counts as: the nearest parent, however spelled, its own first."""
    fitting = [name for name in wanted if is_class(class_name, name)]
    return max(fitting, key=lambda name: (len(names_of(name)), is_exactly(class_name, name)), default=None)


def describe_spellings(objects: Iterable[PathObject], wanted: Sequence[str]) -> list[str]:
    """Say which classes were read as one of `wanted` though QuPath takes them for others, and how often."""
    spelled = Counter(
        (str(item.class_name), name)
        for item in objects
        if (name := best_class(item.class_name, wanted)) and not is_exactly(item.class_name, name)
    )
    return [
        f"{count} of class {written!r} {'is' if count == 1 else 'are'} read as {name}; name the class so in QuPath"
        for (written, name), count in sorted(spelled.items())
    ]


def kind_of(item: PathObject) -> str:
    """Name what an object is in one word: detection, cell and so on; of annotations also point and line."""
    if item.object_type != ANNOTATION:
        return item.object_type
    kind = item.geometry.geom_type
    if "Point" in kind:
        return "point"
    return "line" if "Line" in kind else ANNOTATION


def is_area(item: PathObject) -> bool:
    """Tell whether an object is an annotation with an area."""
    return item.object_type == ANNOTATION and item.geometry.area > 0


def left_out(objects: Iterable[PathObject], used: Callable[[PathObject], bool]) -> LeftOutObjects:
    """Count the objects that are not `used`."""
    return LeftOutObjects(counts=Counter((item.class_name or "", kind_of(item)) for item in objects if not used(item)))


def _begins(
    names: Sequence[str], wanted: Sequence[str], *, alike: Callable[[str, str], bool] = lambda one, other: one == other
) -> bool:
    """Tell whether `names` begins with `wanted`."""
    pairs = zip(names, wanted, strict=False)
    return 0 < len(wanted) <= len(names) and all(alike(one, other) for one, other in pairs)


def _bare_names(class_name: str | None) -> tuple[str, ...]:
    """Split a class at commas and semicolons too, and take from each name case, what does not show, and plural."""
    parts = re.split(r"[:,;]", shown(class_name or ""))
    return tuple(bare for part in parts if (bare := _singular(re.sub(r"[\s_-]+", "", part).casefold())))


def _singular(word: str) -> str:
    """Take the plural off a word, Latin or English."""
    if word.endswith("i") and len(word) > 3:
        return word[:-1] + "us"
    if word.endswith("uses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("us", "ss", "is")) else word


def _alike(one: str, other: str) -> bool:
    """Tell whether two bare names are the same but for one slip in a long word."""
    if one == other:
        return True
    long = min(len(one), len(other)) >= _LONG and one.isalpha() and other.isalpha()
    return long and abs(len(one) - len(other)) <= 1 and _one_slip(one, other)


def _one_slip(one: str, other: str) -> bool:
    """Tell whether a letter too many, too few, another or two swapped make one word the other."""
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    left, right = one[start:], other[start:]
    swapped = left[:2] == right[1::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped

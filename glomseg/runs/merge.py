"""While images are segmented: each is kept in a journal, and all journals are merged into run.json in the end.

run.json grows with the images, so that writing it for each of them takes longer and longer; and shards on other
machines may have learned more. So one process writes it whole at the beginning and at the end, while no other does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from glomseg.errors import RunError
from glomseg.runs.image_record import State
from glomseg.runs.journal import Journal, remove_journals
from glomseg.runs.lock import locked, locked_as_shard, shards_at_work
from glomseg.runs.run import RECORD, Run, load_run, now
from glomseg.runs.shard import Shard
from glomseg.segment.probability_map import remove_leftovers

Alone = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class WorkPlace:
    """A folder that this process may work in: all of it, or as a shard; `alone` holds all of it for a moment."""

    folder: Path
    shard: Shard | None = None
    alone: Alone = field(default=nullcontext)

    def has_others(self) -> bool:
        """Tell whether other shards are at work here."""
        return self.shard is not None and len(shards_at_work(self.folder)) > 1


@contextmanager
def working_in(
    folder: Path, shard: Shard | None, remark: Callable[[str], None] = lambda text: None
) -> Iterator[WorkPlace]:
    """Hold a folder, or a shard's part of the work in it; raises RunError where another is in the way.

    `remark` hears for whom a shard waits.
    """
    if shard is None:
        with locked(folder):
            yield WorkPlace(folder=folder)
    else:
        with locked_as_shard(folder, shard.name, remark) as alone:
            yield WorkPlace(folder=folder, shard=shard, alone=alone)


@contextmanager
def journaled(run: Run, place: WorkPlace, order: Sequence[str]) -> Iterator[None]:
    """Keep what is learned of images inside the block in a journal, and merge it into run.json after it.

    `order` is that of run.json and of the table: the entry ids of all images that are asked for, whoever segments them;
    those of earlier calls stand before them. A block that is stopped leaves all that it learned; what cannot be merged
    then, the next call finds in the journal. Raises RunError.
    """
    run.ended = None
    with place.alone():
        if place.shard is not None and (run.folder / RECORD).is_file():
            fresh = load_run(run.folder)  # others have written since
            run.images, run.counted, run.problems = fresh.images, fresh.counted, fresh.problems
        if not place.has_others():
            remove_leftovers(run.folder)
        run.save()
    run.journal = Journal(run.folder)
    try:
        yield
    except BaseException:
        if place.shard is None:
            with suppress(RunError):
                _merge(run, place, order)
        raise
    _merge(run, place, order, ended=True)


def left_to_others(run: Run, order: Sequence[str]) -> int:
    """Count the images that are asked for and that no shard has tried yet, or not to the end."""
    return sum(name not in run.images or run.images[name].state not in (State.DONE, State.FAILED) for name in order)


def _merge(run: Run, place: WorkPlace, order: Sequence[str], *, ended: bool = False) -> None:
    with place.alone():
        journal, run.journal = run.journal, None
        fresh = load_run(run.folder)
        asked = set(order)
        names = [*(name for name in fresh.images if name not in asked), *order]
        run.images = {name: fresh.images[name] for name in names if name in fresh.images}
        run.counted, run.problems = fresh.counted, tuple(dict.fromkeys([*run.problems, *fresh.problems]))
        run.ended = now() if ended and not left_to_others(run, order) else None
        run.save()
        has_others = place.has_others()
        remove_journals(run.folder, [journal.name] if has_others and journal else run.counted, is_in_use=has_others)
        if not has_others:
            run.counted = {}
            run.save()

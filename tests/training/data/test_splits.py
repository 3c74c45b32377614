"""No slide is learned from and judged by, and the same data are split the same way."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from glomseg.errors import TrainingError
from glomseg.training.data.examples import Example
from glomseg.training.data.remarks import remarks_on
from glomseg.training.data.splits import Split, read_split, split_examples, write_split


def make(
    count: int,
    *,
    tiles: int = 3,
    group: str = "all",
    first: int = 0,
    case: int = 1,
    positive: bool = True,
    part: str = "",
) -> list[Example]:
    """Examples of `count` slides, `case` of them to an animal."""
    return [
        Example(
            name=f"{group}/s{slide}/{tile}",
            image=Path(f"{group}/s{slide}/{tile}.png"),
            label=None,
            slide=f"{group}/s{slide}",
            case=f"{group}/a{slide // case}",
            group=group,
            mpp=1.0,
            holds=(1,) if positive else (),
            part=part,
        )
        for slide, tile in itertools.product(range(first, first + count), range(tiles))
    ]


def units(split: Split, by: str = "slide") -> list[set[str]]:
    return [{getattr(example, by) for example in part} for part in (split.train, split.validation, split.test)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["slide", "case"])
def test_no_unit_is_in_two_parts(seed: int, by: str) -> None:
    examples = make(20, case=2)
    split = split_examples(examples, by=by, seed=seed)
    parts = units(split, by)
    assert all(not one & other for one, other in itertools.combinations(parts, 2))
    assert sum(map(len, (split.train, split.validation, split.test))) == len(examples)
    assert list(map(len, parts)) == ([14, 3, 3] if by == "slide" else [6, 2, 2])


def test_the_seed_decides_and_the_order_of_the_files_does_not() -> None:
    examples = make(20)
    one = split_examples(examples, seed=1)
    assert units(split_examples(examples[::-1], seed=1)) == units(one)
    assert any(units(split_examples(examples, seed=seed)) != units(one) for seed in range(2, 5))


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_balanced(seed: int) -> None:
    examples = [*make(20, group="DN"), *make(10, group="NEP25"), *make(10, group="normal")]
    split = split_examples(examples, validation=0.2, test=0.2, seed=seed)
    for part in (split.validation, split.test):
        assert Counter(example.group for example in part) == {"DN": 12, "NEP25": 6, "normal": 6}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("positives", [1, 2, 3])
def test_each_part_holds_a_glomerulus_as_long_as_there_are_any(seed: int, positives: int) -> None:
    examples = [*make(positives), *make(20 - positives, first=positives, positive=False)]
    split = split_examples(examples, validation=0.3, test=0.3, seed=seed)
    holds = [any(e.positive for e in part) for part in (split.train, split.validation, split.test)]
    assert holds == [True, positives > 1, positives > 2]


def test_parts_of_the_folders_win() -> None:
    examples = [*make(6, part="train"), *make(2, first=6, part="validation"), *make(2, first=8, part="test")]
    split = split_examples(examples, validation=0.5, test=0.3)
    assert [len(part) for part in units(split)] == [6, 2, 2]
    assert all(example.part == "test" for example in split.test)


def test_a_part_that_the_folders_lack_is_taken_from_train() -> None:
    examples = [*make(10, part="train"), *make(3, first=10, part="test")]
    split = split_examples(examples, validation=0.2, test=0.2)
    assert [len(part) for part in units(split)] == [8, 2, 3]
    assert {example.part for example in split.validation} == {"train"}
    assert {example.part for example in split.test} == {"test"}


def test_slides_of_an_animal_go_with_its_patches() -> None:
    patches = [*make(4, part="train"), *make(2, first=4, part="validation"), *make(2, first=6, part="test")]
    wholes = [replace(e, name=f"wsi/{e.name}", part="") for e in patches]
    split = split_examples([*patches, *wholes], by="case")
    assert [len(part) for part in units(split, "case")] == [4, 2, 2]
    assert len(split.test) == 12


def test_too_few_slides() -> None:
    with pytest.raises(
        TrainingError, match=r"2 slides \(all/s0, all/s1\) cannot be split .*train and validation and test"
    ):
        split_examples(make(2))
    assert [len(part) for part in units(split_examples(make(2), test=0))] == [1, 1, 0]
    assert [len(part) for part in units(split_examples(make(1), validation=0, test=0))] == [1, 0, 0]
    with pytest.raises(TrainingError, match=r"1 slide \(all/s0\) cannot"):
        split_examples(make(1), test=0)
    with pytest.raises(TrainingError, match="leave nothing to learn from"):
        split_examples(make(9), validation=0.5, test=0.5)


def test_a_slide_in_two_parts_is_refused() -> None:
    with pytest.raises(TrainingError, match="slide all/s0 lies in test and train"):
        split_examples([*make(3, part="train"), *make(1, part="test")])


def test_written_down_and_read_again(tmp_path: Path) -> None:
    examples = [*make(8, group="DN"), *make(8, group="NEP25")]
    split = split_examples(examples, seed=3)
    path = tmp_path / "split.json"
    write_split(split, path)
    again = read_split(path, examples)
    assert again == split
    kept = json.loads(path.read_text())
    assert kept["by"] == "slide"
    assert set(kept["test"]) == units(split)[2]

    new = [replace(split.test[0], name="another tile"), *make(1, first=99)]
    grown = read_split(path, [*examples, *new])
    assert new[0] in grown.test, "a tile of a slide that is held out stays held out"
    assert set(grown.train) == {*split.train, *new[1:]}
    with pytest.raises(TrainingError, match="which the data lack; split the data anew"):
        read_split(path, examples[1:])
    path.write_text('{"train": 3}')
    with pytest.raises(TrainingError, match="cannot be read as a split"):
        read_split(path, examples)


def test_a_renamed_copy_in_another_part_is_named(tmp_path: Path) -> None:
    """What is learned from a picture is known of its copy, whatever the copy is called."""
    one, two, three = "one" * 50_000, "two" * 50_000, "one" * 49_999 + "two"
    for name, text in (("a", one), ("b", two), ("renamed", one), ("c", three)):
        (tmp_path / f"{name}.png").write_text(text)
    of = {path.stem: replace(make(1)[0], name=path.stem, slide=path.stem, image=path) for path in tmp_path.iterdir()}
    leaks = Split((of["a"], of["b"]), (of["renamed"],), (of["c"],), by="slide", seed=0)
    (said,) = [line for line in remarks_on(leaks, ["Glomerulus"], []) if "under two names" in line]
    assert said.startswith("1 picture is in more than one part")
    assert str(tmp_path / "a.png") in said
    assert str(tmp_path / "renamed.png") in said
    for split in (
        Split((of["a"], of["renamed"]), (of["b"],), (of["c"],), by="slide", seed=0),
        Split((of["a"],), (of["b"],), (replace(of["c"], image=tmp_path / "gone.png"),), by="slide", seed=0),
    ):
        assert not [line for line in remarks_on(split, ["Glomerulus"], []) if "under two names" in line]

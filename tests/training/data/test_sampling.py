"""Samples: decided by seed, epoch and number alone, drawn as the settings say, and mined where a network errs."""

import dataclasses
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from support.tissue import UM_PX

from glomseg.models.card import ModelCard
from glomseg.models.predict import Model
from glomseg.models.variable_unet import VariableUNet
from glomseg.training.config_file import read_config
from glomseg.training.data.examples import Labelled
from glomseg.training.data.find import find_examples
from glomseg.training.data.loading import Loader, batches_of
from glomseg.training.data.sampling import Draw, ExampleImages, ExampleSource, HardBox, cut
from glomseg.training.mining import mine
from glomseg.training.optimise import criterion_of
from glomseg.training.validate import Verdict, judge, points_of, predict, probability_of

WORDS = ("model.mpp=8", "data.crop_px=64", "data.margin_px=16", "data.samples_per_epoch=40")


@pytest.fixture(scope="module")
def examples(fields):
    return find_examples([fields], model_mpp=8, tile_mpp=UM_PX)


def source_of(examples, *words):
    return ExampleSource(examples, read_config(words=(*WORDS, *words)))


def equal(one, two):
    return all(np.array_equal(getattr(one, part), getattr(two, part)) for part in ("image", "label", "valid"))


def test_seed_epoch_and_number_decide(examples):
    one, two = source_of(examples), pickle.loads(pickle.dumps(source_of(examples)))
    assert one.draws(3, ()) == two.draws(3, ()) != one.draws(4, ())
    assert one.draws(3, ()) != source_of(examples, "seed=1").draws(3, ())
    draws = one.draws(3, ())
    samples = [one.sample(draw) for draw in draws[:6]]
    for draw, sample in reversed(list(zip(draws, samples, strict=False))):
        assert equal(two.sample(draw), sample), "the order must not matter"
        assert sample.image.shape == (96, 96, 3)


@pytest.mark.slow
def test_workers_make_the_same(examples):
    source = source_of(examples)
    draws = source.draws(0, ())[:5]
    here, there = (
        Loader(source, read_config(words=(*WORDS, f"data.workers={count}")), torch.device("cpu")) for count in (0, 1)
    )
    batches = [list(loader.batches(draws, 2)) for loader in (here, there)]
    assert [len(names) for *_, names in batches[0]] == [2, 2]
    for one, two in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
        assert one[-1] == two[-1]


def test_no_batch_of_one():
    draws = [Draw(i, (0, i)) for i in range(5)]
    assert [len(batch) for batch in batches_of(draws, 2)] == [2, 2]
    assert [len(batch) for batch in batches_of(draws, 3)] == [3, 2]
    assert [len(batch) for batch in batches_of(draws, 16)] == [5]


def test_many_images_stay_with_their_process(examples):
    many = [dataclasses.replace(examples[i % 24], name=f"{i}", slide=f"{i % 40}") for i in range(1200)]
    source = source_of(many, "data.samples_per_epoch=400", "data.paste_share=0.5")
    draws = source.draws(0, ())
    batches = batches_of(draws, 8, source.shards)
    assert Counter(draw.seed for batch in batches for draw in batch) == Counter(draw.seed for draw in draws)
    aligned = [batch for k, batch in enumerate(batches) if {draw.index % 8 for draw in batch} == {k % 8}]
    assert len(aligned) > 0.6 * len(batches)
    assert all(draw.other % 8 == draw.index % 8 for draw in draws if draw.other is not None)
    assert sum(draw.other is not None for draw in draws) > 100
    assert source_of(examples).shards == 1


def test_shares(examples):
    source = source_of(
        examples, "data.samples_per_epoch=400", "data.positive_share=0.6", "data.hard_share=0.3", "data.paste_share=0"
    )
    place = HardBox(examples[5].name, 30.0, 60.0)
    draws = source.draws(0, [place])
    assert sum(draw.on for draw in draws) == pytest.approx(240, abs=40)
    assert sum(draw.at is not None for draw in draws) == pytest.approx(120, abs=35)
    assert {(draw.index, draw.at) for draw in draws if draw.at} == {(5, (30.0, 60.0))}
    assert all(source.sample(draw).label.any() for draw in [draw for draw in draws if draw.on][:12])
    assert not any(draw.at for draw in source.draws(0, ()))


def test_hard_examples_are_drawn_more_often(examples):
    marked = [dataclasses.replace(example, hard=i == 2) for i, example in enumerate(examples)]
    draws = source_of(marked, "data.samples_per_epoch=400", "data.positive_share=0", "data.hard_share=0.5").draws(0, ())
    assert Counter(draw.index for draw in draws)[2] == pytest.approx(200, abs=45)


def test_slides_are_drawn_equally_often(examples):
    lopsided = [example for i, example in enumerate(examples) if i < 3 or example.slide != examples[0].slide][:-2]
    draws = source_of(lopsided, "data.samples_per_epoch=800", "data.positive_share=0").draws(0, ())
    counts = Counter(lopsided[draw.index].slide for draw in draws)
    assert len(counts) == len({example.slide for example in lopsided})
    assert max(counts.values()) < 1.6 * min(counts.values())


def test_pasted_glomeruli_are_labelled(examples):
    empty = next(i for i, example in enumerate(examples) if not example.positive)
    full = [i for i, example in enumerate(examples) if example.positive]
    source = source_of(examples)
    plain = source.sample(Draw(empty, (0, 1)))
    assert not plain.label.any()
    pasted = [source.sample(Draw(empty, (0, 1), other=other)) for other in full[:6]]
    assert any(sample.label.sum() > 100 for sample in pasted)
    for sample in pasted:
        changed = sample.label > 0
        assert not changed.any() or sample.image[changed].mean() < plain.image[~changed].mean()


def test_off_the_image_nothing_is_learned():
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    found = Labelled(image, np.ones((10, 10), np.uint8), np.ones((10, 10), bool))
    square = cut(found, -3, -2, 16)
    assert square.valid.sum() == square.label.sum() == 100
    assert np.array_equal(square.image[2:12, 3:13], image)
    assert np.array_equal(square.image[1], square.image[2])


def test_whole_images_once_each(examples):
    source = source_of(examples, "data.sample=whole", "data.crop_px=96", "data.margin_px=0")
    draws = source.draws(0, ())
    assert sorted(draw.index for draw in draws) == list(range(len(examples)))
    assert [draw.index for draw in draws] != [draw.index for draw in source.draws(1, ())]
    sample = source.sample(next(draw for draw in draws if examples[draw.index].positive))
    assert sample.image.shape == (96, 96, 3)
    assert sample.image[sample.label > 0].mean() < sample.image[sample.label == 0].mean() - 20


class Oracle(Model):
    """Sees everything that is purple and as thick as a disc."""

    def predict_planes(self, images, *, tta=False, scales=()):
        return np.where(images[..., 1] < 125, 255, 0).astype(np.uint8)[:, None]


@pytest.fixture(scope="module")
def oracle():
    card = ModelCard(
        name="oracle", description="Sees purple.", mpp=4.0, minimum_area_um2=6000.0, minimum_solidity=0.6,
        species="human", training_diameter_um=200.0, patch_size_pixels=64, halo_pixels=16,
    )  # fmt: skip
    return Oracle(card, VariableUNet(512).eval(), torch.device("cpu"))


def disc_image(*discs, size=200):
    y, x = np.mgrid[:size, :size] + 0.5
    image = np.full((size, size, 3), (225, 170, 205), np.uint8)
    label = np.zeros((size, size), np.uint8)
    for cx, cy, true in discs:
        inside = (x - cx) ** 2 + (y - cy) ** 2 < 22**2
        image[inside] = (130, 70, 150)
        label[inside] = true
    return Labelled(image, label, np.ones((size, size), bool))


class Fixed:
    def __init__(self, *images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def name(self, index):
        return f"image {index}"

    def read(self, index):
        return self.images[index]


def test_false_positives_become_hard_negatives(oracle):
    images = Fixed(disc_image((50, 50, 1), (140, 120, 0)), disc_image((60, 60, 1)))
    (box,) = mine(oracle, images, [0, 1])
    assert box.name == "image 0"
    assert (box.x, box.y) == pytest.approx((140, 120), abs=1)


def test_judged_as_evaluate_does(oracle):
    images = Fixed(disc_image((50, 50, 1), (140, 120, 0)), disc_image((60, 60, 1)), disc_image())
    told = []
    judged = judge(
        oracle, images, [0, 1, 2], criterion_of(read_config()), (0.5, 0.9), progress=lambda *done: told.append(done)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    verdict = Verdict.of(judged[::-1])
    objects = verdict.best.objects
    assert (objects.matched, objects.predicted, objects.true) == (2, 3, 2)
    assert verdict.best.threshold == 0.5
    assert verdict.best.pixels.dice == pytest.approx(2 * 2 / 5, abs=0.02)


def test_what_is_not_valid_is_not_predicted(oracle):
    found = disc_image((50, 50, 1), (140, 120, 0))
    found.valid[:, 100:] = False
    (point,) = points_of(oracle, probability_of(oracle, found), found, (0.5,))
    assert (point.objects.matched, point.objects.predicted, point.objects.true) == (1, 1, 1)


def test_tile_by_tile_is_as_one():
    net = VariableUNet(256).eval()
    card = ModelCard(
        name="random", description="Nothing.", mpp=4.0, minimum_area_um2=1.0, species="human",
        training_diameter_um=200.0, patch_size_pixels=64, halo_pixels=64,
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    model = Model(card, net, torch.device("cpu"))
    tiled = predict(model, image)
    whole = predict(Model(dataclasses.replace(card, patch_size_pixels=512), net, torch.device("cpu")), image)
    assert tiled.shape == whole.shape == (1, 100, 150)
    inner = np.s_[0, 48:52, 70:80]
    assert np.abs(tiled[inner].astype(int) - whole[inner]).max() <= 3


def test_images_come_as_they_are_trained_on(examples):
    images = ExampleImages(examples, read_config(words=WORDS))
    assert len(images) == 24
    assert images.read(0).image.shape == (96, 96, 3)
    assert images.name(0) == examples[0].name

"""Two kinds of glomeruli and tubules: three classes from the labels to the model's predictions."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from glomseg.models.merging import merge_models
from glomseg.models.predict import load_model
from glomseg.models.store import verify_model
from glomseg.training.config_file import read_config
from glomseg.training.data.find import find_examples, read_example
from glomseg.training.data.sampling import ExampleSource
from glomseg.training.train_model import TrainOptions, preview_training, train_model
from glomseg.training.validate import classes_at, points_of

CLASSES = ("Glomerulus", "Glomerulus: Sclerotic", "Tubule")
COLOURS = ((130, 70, 150), (90, 120, 70), (200, 90, 60))
TISSUE = (225, 170, 205)
MPP = 4.0
SETTINGS = (
    f"model.classes={json.dumps(CLASSES)}",
    "epochs=2",
    "model.mpp=8",
    "data.crop_px=64",
    "data.margin_px=0",
    "data.samples_per_epoch=200",
    "data.mining_every=1",
    "data.mining_images=4",
    "data.workers=0",
    "data.test_share=0.25",
    "optimiser.learning_rate=1.5e-2",
    "optimiser.batch_size=8",
    "optimiser.ema_decay=0.8",
    "optimiser.precision=32-true",
    "loss.pos_weight=[1.5, 1.5, 3]",
    "validation.thresholds=[0.3, 0.5]",
    "validation.minimum_area_um2=3000",
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def field_of(rng, size=192):
    """A field with a disc of each class in three of its quarters: image, and label with the class."""
    y, x = np.mgrid[:size, :size] + 0.5
    label = np.zeros((size, size), np.uint8)
    image = np.empty((size, size, 3))
    image[:] = TISSUE
    quarters = rng.permutation(4)
    for kind, quarter in enumerate(quarters[:3], start=1):
        cx, cy = 48 + 96 * np.array([quarter % 2, quarter // 2]) + rng.uniform(-12, 12, 2)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < rng.uniform(20, 26) ** 2
        label[inside], image[inside] = kind, COLOURS[kind - 1]
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), label


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """16 tiles of 8 slides as QuPath writes them, the numbers of their labels named beside them."""
    folder = tmp_path_factory.mktemp("three") / "tiles"
    rng = np.random.default_rng(0)
    named = [{"label": 0, "classification": "*Background*"}]
    named += [{"label": index, "classification": name} for index, name in enumerate(CLASSES, start=1)]
    for slide in range(8):
        place = folder / f"slide {slide}"
        place.mkdir(parents=True)
        for i in range(2):
            image, label = field_of(rng)
            name = f"slide {slide} [x={192 * i},y=0,w=192,h=192]"
            Image.fromarray(image).save(place / f"{name}.png")
            Image.fromarray(label).save(place / f"{name}-labelled.png")
        (place / f"slide {slide}-tiles.json").write_text(json.dumps({"labels": named}))
    return folder


@pytest.fixture(scope="module")
def trained(tiles, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "three"
    options = TrainOptions(settings=SETTINGS, tile_mpp=MPP, device="cpu")
    return train_model([tiles], output, options)


def test_three_classes_are_learned_saved_loaded_and_predicted(trained):
    card = verify_model(trained.output)
    assert (card.class_names, card.num_classes, len(set(card.class_colors))) == (CLASSES, 3, 3)
    for part in ("validation", "test"):
        scores = card.scores[part]["classes"]
        assert set(scores) == set(CLASSES)
        assert all(score["true_objects"] == card.scores[part]["images"] for score in scores.values())
        mean = np.mean([score["object_f1"] for score in scores.values()])
        assert card.scores[part]["object_f1"] == pytest.approx(mean, abs=1e-3)
    assert card.scores["validation"]["object_f1"] > 0.6, card.scores
    model = load_model(trained.output)
    rng = np.random.default_rng(99)
    right = []
    for _ in range(4):
        image, label = field_of(rng)
        small = np.asarray(Image.fromarray(image).resize((96, 96), Image.Resampling.BOX))
        probability = model.predict(small[None])[0]
        assert probability.shape == (3, 96, 96)
        seen, true = classes_at(probability, card.threshold), label[1::2, 1::2]
        right.append((seen == true)[true > 0].mean())
    assert np.mean(right) > 0.7, right


def test_what_it_leaves_behind_is_for_three(trained):
    config = read_config(file=trained.output / "config.toml")
    assert config.model.classes == CLASSES
    assert config.loss.pos_weight == (1.5, 1.5, 3.0)
    with Image.open(trained.output / "worst.png") as picture:
        assert min(picture.size) > 100


@pytest.mark.slow
def test_it_goes_on_as_if_it_had_never_stopped(tiles, trained, tmp_path):
    def stop(progress):
        if progress.stage == "learning" and progress.epoch == 1:
            raise KeyboardInterrupt

    options = TrainOptions(settings=SETTINGS, tile_mpp=MPP, device="cpu", name="three")
    with pytest.raises(KeyboardInterrupt, match="after epoch 1; the same command goes on"):
        train_model([tiles], tmp_path, options, progress=stop)
    assert train_model([tiles], tmp_path, options).card == trained.card


def test_each_class_is_drawn_as_often(tiles):
    examples = find_examples([tiles], model_mpp=8, tile_mpp=MPP, classes=CLASSES)
    assert all(example.holds == (1, 2, 3) for example in examples)
    words = (*SETTINGS, "data.positive_share=1", "data.hard_share=0", "data.samples_per_epoch=300")
    source = ExampleSource(examples, read_config(words=words))
    draws = source.draws(0, ())
    counts = np.bincount([draw.kind for draw in draws])[1:]
    assert counts.sum() == 300
    assert counts.min() > 70
    for draw in draws[:20]:
        assert (source.sample(draw).label == draw.kind).any()


def test_the_wrong_class_is_neither_found_nor_right(trained):
    """A disc of class 2 that is taken for class 1 is a false object of one and a missed one of the other."""
    model = load_model(trained.output)
    y, x = np.mgrid[:96, :96]
    disc = (x - 48) ** 2 + (y - 48) ** 2 < 12**2
    probability = np.zeros((3, 96, 96), np.uint8)
    probability[0][disc] = 230
    labelled = type(
        "Labelled", (), {"label": disc * np.uint8(2), "valid": np.ones_like(disc), "image": None, "objects": None}
    )
    (point,) = points_of(model, probability, labelled, (0.5,))
    counts = [(score.objects.matched, score.objects.predicted, score.objects.true) for score in point.classes]
    assert counts == [(0, 1, 0), (0, 0, 1), (0, 0, 0)]
    assert point.f1 == 0


def test_preview_of_three(tiles, tmp_path):
    path = preview_training([tiles], tmp_path, TrainOptions(settings=SETTINGS, tile_mpp=MPP))
    with Image.open(path) as picture:
        assert min(picture.size) > 200


def test_one_class_of_several_is_learned_against_the_others(tiles, tmp_path):
    """Though the second is derived from the first, which it counts as where nobody says that labels tell them apart."""
    find = partial(find_examples, model_mpp=MPP, tile_mpp=MPP)
    for index, name in enumerate(CLASSES[:2], start=1):
        (example, *_) = find([tiles], classes=[name], label_classes=CLASSES[:2])
        assert sorted(example.others) == sorted({*CLASSES} - {name})
        with Image.open(example.label) as label:
            assert ((np.asarray(label) == index) == (read_example(example, MPP).label == 1)).all()
    (example, *_) = find([tiles], classes=CLASSES[:1])
    with Image.open(example.label) as label:
        assert (np.isin(np.asarray(label), (1, 2)) == (read_example(example, MPP).label == 1)).all()


@pytest.mark.slow
def test_a_network_for_each_kind_by_the_recipe_and_both_merged(tiles, tmp_path):
    words = [word for word in SETTINGS if not word.startswith(("model.classes", "loss.pos_weight"))]
    for number, name in enumerate(CLASSES[:2]):
        settings = (*words, f"model.classes={json.dumps([name])}")
        options = TrainOptions(recipe="sclerosis-each", settings=settings, tile_mpp=MPP, device="cpu")
        card = train_model([tiles], tmp_path / str(number), options).card
        assert card.class_names == (name,)
        assert card.scores["validation"]["object_f1"] > 0.6, card.scores
    merge_models([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
    model = load_model(tmp_path / "both")
    right = []
    for example in find_examples([tiles], model_mpp=8, tile_mpp=MPP, classes=CLASSES[:2]):
        labelled = read_example(example, 8)
        seen = classes_at(model.predict(labelled.image[None])[0], 0.5)
        right += [(seen[labelled.label == kind] == kind).mean() for kind in (1, 2)]
    assert np.mean(right) > 0.7


@pytest.mark.slow
def test_the_recipe_for_sclerosis_learns_its_two_classes_and_leaves_out_the_third(tiles, tmp_path):
    words = [word for word in SETTINGS if not word.startswith(("model.classes", "loss.pos_weight"))]
    options = TrainOptions(recipe="sclerosis", settings=tuple(words), tile_mpp=MPP, device="cpu")
    card = train_model([tiles], tmp_path / "two", options).card
    assert card.class_names == CLASSES[:2]
    assert card.scores["validation"]["object_f1"] > 0.6, card.scores

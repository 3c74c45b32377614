"""What the head `hover` learns: places that turn with the image, in whole objects; and that it learns them."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from support.tissue import UM_PX

from glomseg.models.card import ModelCard
from glomseg.models.exporting import export_model
from glomseg.models.places import places_in
from glomseg.models.predict import load_model
from glomseg.training.augment.augment import Augment, AugmentConfig
from glomseg.training.config_file import read_config
from glomseg.training.data.examples import Labelled
from glomseg.training.data.loading import augmented, collate
from glomseg.training.data.sampling import TrainSample, cut, objects_around
from glomseg.training.data.training_data import read_data
from glomseg.training.hover import numbered
from glomseg.training.losses import BCEDiceLoss, HoverLoss
from glomseg.training.train import prepare, run
from glomseg.training.train_model import TrainOptions, train_model
from glomseg.training.validate import points_of

HOVER = ('model.heads=["mask","hover"]',)


def lens(size: int = 90) -> torch.Tensor:
    """Two objects that touch, neither of them round."""
    y, x = np.mgrid[:size, :size]
    objects = np.zeros((size, size), np.int32)
    objects[((x - 30) / 20) ** 2 + ((y - 40) / 30) ** 2 < 1] = 1
    objects[(((x - 60) / 14) ** 2 + ((y - 50) / 25) ** 2 < 1) & (objects == 0)] = 2
    return torch.from_numpy(objects)[None]


def test_places_run_from_edge_to_edge_and_jump_where_objects_touch() -> None:
    objects = lens()
    places = places_in(objects)[0]
    for number in (1, 2):
        inside = places[:, objects[0] == number]
        assert inside.amin(1).tolist() == pytest.approx([-1, -1])
        assert inside.amax(1).tolist() == pytest.approx([1, 1])
    assert not places[:, objects[0] == 0].any()
    row = objects[0, 45]
    at = int(((row[:-1] == 1) & (row[1:] == 2)).nonzero()[0])
    assert places[0, 45, at] - places[0, 45, at + 1] > 1.5


def test_turned_labels_give_turned_places() -> None:
    objects = lens()
    right, down = places_in(objects)[0]
    turned = places_in(torch.rot90(objects, 1, (1, 2)))[0]  # what was right is up, what was down is right
    assert torch.allclose(turned[0], torch.rot90(down, 1, (0, 1)), atol=1e-5)
    assert torch.allclose(turned[1], -torch.rot90(right, 1, (0, 1)), atol=1e-5)
    mirrored = places_in(objects.flip(2))[0]
    assert torch.allclose(mirrored[0], -right.flip(1), atol=1e-5)


def disc_field(side: int = 200) -> Labelled:
    """A disc of radius 40 at (70, 60)."""
    y, x = np.mgrid[:side, :side]
    label = (np.hypot(x - 70, y - 60) < 40).astype(np.uint8)
    return Labelled(np.full((side, side, 3), 200, np.uint8), label, np.ones(label.shape, np.bool_))


@pytest.mark.parametrize("elastic_px", [0.0, 3.0])
def test_places_are_those_of_the_whole_object_however_it_is_cut_and_turned(elastic_px: float) -> None:
    """The square shows a quarter of a disc: the slope of the places is that of the whole, in every direction."""
    labelled, side, reach = disc_field(), 64, 130
    square = cut(labelled, 70, 60, side)
    objects = objects_around(labelled, square.label, 70, 60, reach)
    sample = TrainSample("one", square.image, square.label, square.valid, objects)
    *parts, around, _ = collate([sample] * 8)
    changes = dataclasses.replace(AugmentConfig.none(), flip=True, rotation_deg=180, scale=(0.8, 1.25))
    augment = Augment(dataclasses.replace(changes, elastic_px=elastic_px))
    config = read_config(words=(*HOVER, "data.margin_px=0", "data.crop_px=64"))
    _, targets, weights = augmented((parts[0], parts[1], parts[2]), config, augment, seed=5, objects=around)
    assert targets.shape == (8, 3, side, side)
    for (mask, right, down), weight in zip(targets, weights, strict=True):
        there = (mask > 0) & (weight[0] > 0)
        assert there.sum() > 300
        rows, columns = (numbers.numpy() for numbers in there.nonzero(as_tuple=True))
        for values, along, other in ((right, columns, rows), (down, rows, columns)):
            system = np.stack([along, other, np.ones(len(rows))], 1)
            (slope, cross, _), *_ = np.linalg.lstsq(system, values[there].numpy(), rcond=None)
            assert 1 / (40 * 1.3) < slope < 1 / (40 * 0.75)
            assert abs(cross) < 0.1 * slope
        assert right[there].min() > -0.95 or down[there].min() > -0.95  # most of the disc is not to be seen


def test_nothing_changes_for_a_network_without_the_head() -> None:
    field = disc_field(64)
    sample = TrainSample("one", field.image, field.label, field.valid)
    *parts, around, _ = collate([sample] * 2)
    config = read_config(words=("data.margin_px=0", "data.crop_px=64"))
    batch = (parts[0], parts[1], parts[2])
    plain = augmented(batch, config, Augment(AugmentConfig()), seed=3)
    with_objects = augmented(batch, config, Augment(AugmentConfig()), seed=3, objects=torch.zeros(2, 64, 64).int())
    assert around.shape == (2, 0, 0)
    assert torch.equal(plain[0], with_objects[0])
    assert torch.equal(plain[1], with_objects[1][:, :1])


def test_the_loss_is_of_mask_places_and_slopes_where_they_count() -> None:
    torch.manual_seed(0)
    objects = lens(96)
    target = torch.cat([(objects > 0).float()[:, None], places_in(objects)], 1)
    logits = torch.randn(1, 3, 96, 96, requires_grad=True)
    mask, loss = BCEDiceLoss(a=0.8, pos_weight=1), HoverLoss(BCEDiceLoss(a=0.8, pos_weight=1), classes=1)
    assert loss(logits[:, :1], target[:, :1]) == mask(logits[:, :1], target[:, :1])
    perfect = torch.cat([logits[:, :1], target[:, 1:]], 1)
    assert loss(perfect, target).item() == pytest.approx(mask(logits[:, :1], target[:, :1]).item())
    assert loss(logits, target) > loss(perfect, target) + 1
    nothing = torch.zeros(1, 1, 96, 96)
    assert math.isfinite(loss(logits, target, nothing).item())
    ramp = torch.arange(96.0).expand(1, 2, 96, 96)
    slopes = loss._slopes(ramp)[..., 4:-4, 4:-4]
    assert slopes[:, 0].unique().tolist() == pytest.approx([1])  # 1 for what rises by 1 a pixel
    assert not slopes[:, 1].any()


def test_what_was_pasted_is_an_object_of_its_own_and_numbers_in_a_label_tell_objects_apart() -> None:
    field = disc_field()
    square = cut(field, 60, 60, 64)
    pasted = square.label.copy()
    pasted[:, 50:] = 1  # touches the disc
    objects = objects_around(field, pasted, 60, 60, 20)
    assert len(np.unique(objects)) == 3
    apart = lens()[0].numpy()
    together = dataclasses.replace(field, label=(apart > 0).astype(np.uint8), valid=apart >= 0)
    assert numbered(together.label).max() == 1
    told = dataclasses.replace(together, objects=apart)
    assert len(np.unique(objects_around(told, told.label, 0, 0, 10))) == 3


@pytest.fixture(scope="module")
def touching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields of made-up glomeruli that touch, each with a number of its own in the label."""
    folder, rng = tmp_path_factory.mktemp("touching"), np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    y, x = np.mgrid[:128, :128]
    for number in range(16):
        cx, cy, angle = *rng.uniform(50, 78, 2), rng.uniform(0, 2 * np.pi)
        label = np.zeros((128, 128), np.uint8)
        for index, sign in enumerate((-1, 1), start=1):
            away = sign * 19
            label[(np.hypot(x - cx - away * np.cos(angle), y - cy - away * np.sin(angle)) < 20) & (label == 0)] = index
        image = np.where(label[..., None] > 0, (130, 70, 150), (225, 170, 205)) + rng.normal(0, 8, (128, 128, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"slide{number % 4}_{number}.png")
        Image.fromarray(label).save(folder / "labels" / f"slide{number % 4}_{number}.png")
    return folder


WORDS = (
    *HOVER, "model.mpp=4", "data.crop_px=64", "data.margin_px=0", "data.workers=0", "data.samples_per_epoch=8",
    "optimiser.batch_size=4", "optimiser.precision=32-true", "validation.thresholds=[0.5]", "epochs=2",
    "data.mining_every=0", "optimiser.ema_decay=0.5", "optimiser.learning_rate=8e-3",
)  # fmt: skip


@pytest.mark.slow
def test_it_trains_resumes_predicts_and_is_exported(touching: Path, tmp_path: Path) -> None:
    def training(epochs: int, **more: bool) -> ModelCard:
        config = read_config(words=(*WORDS, f"epochs={epochs}"))
        data = read_data([touching], config, tile_mpp=UM_PX)
        return run(prepare(data, tmp_path / "mine", config, device="cpu", **more))

    whole = training(2)
    assert (whole.heads, whole.post) == (("mask", "hover"), "glomseg")
    again = training(2, resume=True)
    assert again.weights_sha256 == whole.weights_sha256
    model = load_model(tmp_path / "mine")
    picture = np.asarray(Image.open(next((touching / "images").iterdir())))
    assert model.predict_planes(picture[None]).shape == (1, 3, 128, 128)
    export_model(tmp_path / "mine", tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    assert len(session.get_outputs()) == 2


def test_truth_that_touches_counts_as_two(touching: Path) -> None:
    config = read_config(words=(*WORDS, "data.validation_share=0", "data.test_share=0"))
    data = read_data([touching], config, tile_mpp=UM_PX)
    assert data.training is not None
    labelled = data.training.read(0)
    assert labelled.objects is not None
    model_card = ModelCard(
        name="truth", description="truth", mpp=4.0, minimum_area_um2=1.0, species="human", training_diameter_um=200.0
    )

    class Oracle:
        card, extras = model_card, ()

    (point,) = points_of(Oracle(), labelled.label[None] * np.uint8(255), labelled, (0.5,))  # type: ignore[arg-type]
    assert point.classes[0].objects.true == 2


@pytest.mark.slow
def test_the_recipe_of_glomnet_learns_from_the_kpis_tree(kpis_tree: Path, tmp_path: Path) -> None:
    settings = (
        "epochs=2", "data.crop_px=64", "data.margin_px=0", "data.samples_per_epoch=8", "data.workers=0", "model.mpp=2",
        "model.arguments.patch_size=256", "optimiser.batch_size=4", "validation.limit=2", "validation.thresholds=[0.5]",
        "optimiser.precision=32-true",
    )  # fmt: skip
    options = TrainOptions(recipe="kpis-glomnet", settings=settings, device="cpu")
    result = train_model([kpis_tree], tmp_path / "glomnet", options)
    assert (result.epochs, result.card.heads, result.card.post) == (2, ("mask", "hover"), "glomnet")

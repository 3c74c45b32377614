"""Settings: recipes hold, files and words lie over them, and what is wrong is named."""

import re
import tomllib

import pytest

from glomseg.errors import TrainingError
from glomseg.training.augment.augment import AugmentConfig
from glomseg.training.config import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimiserConfig,
    TrainConfig,
    ValidationConfig,
    setting_names,
)
from glomseg.training.config_file import (
    OLD_NAMES,
    keep_persons_config,
    parse_config,
    read_config,
    recipe_names,
    write_config,
)
from glomseg.training.optimise import check_network


def test_recipes():
    assert recipe_names() == [
        "glomseg", "kpis", "kpis-glomnet", "kpis-mask2former", "kpis-reference", "kpis-segformer", "kpis-upernet",
        "retrain", "sclerosis", "sclerosis-each",
    ]  # fmt: skip
    for name in recipe_names():
        assert isinstance(read_config(recipe=name), TrainConfig)
    assert read_config() == read_config(recipe="glomseg")


def test_the_reference_is_the_reference():
    config = read_config(recipe="kpis-reference")
    data, optimiser, loss = config.data, config.optimiser, config.loss
    assert (data.sample, data.crop_px, config.model.arguments["patch_size"], optimiser.batch_size) == (
        "whole",
        256,
        256,
        16,
    )
    assert (loss.kind, loss.a, loss.pos_weight, loss.eps) == ("bce-dice", 0.8, 25, 1e-6)
    assert (optimiser.kind, optimiser.learning_rate, optimiser.weight_decay, optimiser.schedule) == (
        "adam",
        1e-4,
        0,
        "constant",
    )
    assert (config.epochs, optimiser.clip_norm, optimiser.ema_decay, optimiser.warm_up) == (20, 0, 0, 0)
    assert config.augment == type(config.augment).none()


def test_it_survives_being_written(tmp_path):
    words = ["augment.blur_share=0.25", "epochs=7", "optimiser.batch_size=auto"]
    config = read_config(recipe="kpis", words=words)
    write_config(config, tmp_path / "config.toml")
    again = read_config(file=tmp_path / "config.toml")
    assert again == config
    assert parse_config(config.to_toml()) == config
    assert (again.augment.blur_share, again.epochs, again.optimiser.batch_size) == (0.25, 7, 0)


def test_what_lies_over_what(tmp_path):
    (tmp_path / "mine.toml").write_text('recipe = "kpis"\nepochs = 5\nseed = 4\n[augment]\nflip = false\n')
    config = read_config(
        file=tmp_path / "mine.toml",
        words=["seed=6"],
        under={"model.arguments.patch_size": 256},
        over={"model.species": None},
    )
    assert (config.model.species, config.epochs, config.seed, config.model.arguments["patch_size"]) == (
        "mouse",
        5,
        6,
        256,
    )
    assert config.augment.flip is False
    (tmp_path / "few.toml").write_text("epochs = 5\n")
    few = read_config(file=tmp_path / "few.toml")
    assert few == read_config(words=["epochs=5"]), "a file lies over a recipe, also where it names none"
    assert read_config(file=tmp_path / "few.toml", default="retrain").data.hard_share == 0.3
    assert read_config(over={"epochs": 3}, words=["epochs=9"]).epochs == 3


def test_the_machine_does_not_tell_trainings_apart():
    one, two = read_config(words=["data.workers=1"]), read_config(words=["data.workers=3", "data.cache_mb=9"])
    assert one.differences(two) == []
    other = read_config(words=["seed=1", "augment.flip=false"])
    assert one.differences(other) == [("seed", 0, 1), ("augment.flip", True, False)]


def test_scale_follows_the_species():
    assert read_config().model_mpp == 2.5
    mouse = read_config(words=["model.species=mouse"])
    assert mouse.model_mpp == pytest.approx(0.9375)
    assert mouse.minimum_area_um2 == pytest.approx(883.6, abs=0.1)


OLD = """
classes = [
    "Glomerulus",
]
species = "rat"
sample = "crop"
spacing_um_px = 0.958
diameter_px = 80.0
crop_px = 256
margin_px = 32
samples_per_epoch = 6000
positive_share = 0.5
hard_share = 0.2
balance = "group"
paste_share = 0.2
patch_size = 1024
loss = "dice-focal"
loss_a = 0.6
loss_pos_weight = 1.5
loss_gamma = 1.5
optimizer = "adam"
learning_rate = 0.0015
weight_decay = 0.001
schedule = "constant"
warm_up = 0.03
clip_norm = 1.0
ema_decay = 0.999
epochs = 7
batch_size = 12
batch_limit = 32
seed = 5
precision = "auto"
workers = 2
cache_mb = 1024
split_by = "case"
validation_share = 0.15
test_share = 0.15
validate_every = 2
validation_limit = 400
thresholds = [
    0.4,
]
patience = 15
minimum_area_um2 = 900.0
minimum_solidity = 0.8
mining_every = 5
mining_images = 400
tile_px = 512
halo_px = 32

[augment]
flip = true
rotation_deg = 180.0
scale = [
    0.8,
    1.25,
]
elastic_px = 3.0
elastic_grid_px = 48
stain = "H-PAS"
stain_strength = 0.2
brightness = 0.1
contrast = 0.15
blur = [
    0.3,
    1.5,
]
blur_share = 0.25
soften = [
    1.2,
    2.5,
]
soften_share = 0.2
jpeg = [
    30.0,
    95.0,
]
jpeg_share = 0.4
noise = [
    0.005,
    0.025,
]
noise_share = 0.3

[compose]
size_px = 192
diameter_px = 64.0
object_scale = [
    0.5,
    1.5,
]
tissue_um_px = [
    0.8,
    4.6,
]
empty_um_px = [
    0.7,
    4.6,
]
near_share = 0.3
empty_share = 0.25
max_glomeruli = 3
max_decoys = 3
colour = 1.0
sliver_share = 0.4
sclerotic_weight = 0.35
"""
"""A config.toml as it was written before settings stood in tables."""


def test_a_file_from_before_there_were_tables(tmp_path):
    (tmp_path / "config.toml").write_text(OLD)
    told = []
    config = read_config(file=tmp_path / "config.toml", tell=told.append)
    assert config == parse_config(OLD)
    assert len(told) == 1
    assert "sample (data.sample now)" in told[0]
    assert config == TrainConfig(
        epochs=7,
        seed=5,
        data=DataConfig(
            samples_per_epoch=6000, balance="group", paste_share=0.2, mining_every=5, mining_images=400,
            split_by="case", workers=2, cache_mb=1024,
        ),
        model=ModelConfig(species="rat", mpp=0.958, arguments={"patch_size": 1024}, halo_px=32),
        loss=LossConfig(kind="dice-focal", gamma=1.5),
        optimiser=OptimiserConfig(
            kind="adam", learning_rate=0.0015, schedule="constant", warm_up=0.03, ema_decay=0.999, batch_size=12,
            batch_limit=32,
        ),
        validation=ValidationConfig(every=2, limit=400, thresholds=(0.4,), patience=15, minimum_area_um2=900.0),
        augment=AugmentConfig(blur_share=0.25),
    )  # fmt: skip
    flat = set(tomllib.loads(OLD)) - {"augment", "compose", "epochs", "seed"}
    assert flat == set(OLD_NAMES), "every former name is known"
    assert set(OLD_NAMES.values()) <= set(setting_names())


def test_how_the_starter_was_made_is_not_read(tmp_path):
    (tmp_path / "config.toml").write_text(OLD.replace('sample = "crop"', 'sample = "compose"'))
    with pytest.raises(TrainingError, match="tools/starter"):
        read_config(file=tmp_path / "config.toml")
    with pytest.raises(TrainingError, match="tools/starter"):
        read_config(recipe="pas-starter")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epoch=3", "no setting epoch; do you mean epochs?"),
        ("colour=3", "no setting colour; there are epochs, seed, data.sample"),
        ("augment.blurr=1", "do you mean augment.blur?"),
        ("augment=1", "augment is 1, not a table"),
        ("learning_rat=1", "no setting learning_rat; do you mean optimiser.learning_rate?"),
        ("epochs=many", "epochs is 'many', not a whole number"),
        ("epochs=2.5", "epochs is 2.5, not a whole number"),
        ("epochs=0", "epochs is 0; give at least 1"),
        ("optimiser.learning_rate=inf", "not a finite number"),
        ("data.positive_share=1.5", "give 0 to 1"),
        ("data.sample=tiles", "it is one of crop, whole"),
        ("augment.stain=HE", "it is one of H-E-DAB, H-PAS, none"),
        ("augment.scale=[1]", "not a list of 2 numbers"),
        ("validation.thresholds=[]", "validation.thresholds is []"),
        ("optimiser.batch_size=1", "BatchNorm"),
        ("optimiser.batch_size=true", "not a whole number"),
        ("data.crop_px=100", "multiples of 16"),
        ('model.classes=["A", "A"]', "each once"),
        ("model.classes=[]", "1 to 64 classes"),
        ('data.label_classes=["A"]', "without Glomerulus of model.classes"),
        ("loss.pos_weight=[2, 0]", "give more than 0"),
        ("epochs", "write key=value"),
        ("data.positive_share=0.9", "more than 1"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(word, message):
    with pytest.raises(TrainingError) as caught:
        read_config(words=[word])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.arguments.patch_size=300", "patch size 300 is not possible"),
        ("model.arguments.depth=3", "depth"),
        ("model.architecture=unet", "architecture 'unet' is unknown; this glomseg knows variable-unet"),
        ("model.architecture=onnx", "cannot be trained"),
        ("loss.pos_weight=[2, 3]", "2 numbers for 1 classes"),
    ],
)
def test_a_network_that_cannot_be_made_is_refused_before_anything_is_read(word, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        check_network(read_config(words=[word]))
    check_network(read_config())


def test_another_network_does_not_take_the_arguments_of_the_recipe():
    config = read_config(words=["model.architecture=onnx", "model.arguments.stride=32"])
    assert config.model.arguments == {"stride": 32}
    assert read_config(words=["model.architecture=variable-unet"]) == read_config()


def test_files_that_are_no_settings(tmp_path):
    with pytest.raises(TrainingError, match=r"no\.toml"):
        read_config(file=tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("epochs = ")
    with pytest.raises(TrainingError, match="not TOML"):
        read_config(file=tmp_path / "bad.toml")
    with pytest.raises(TrainingError, match="there are glomseg, kpis"):
        read_config(recipe="best")


def test_settings_of_a_person_are_kept_where_ours_take_their_place(tmp_path):
    """Whoever has theirs in the model's folder finds them again, with what they wrote beside them."""
    path = tmp_path / "config.toml"
    assert keep_persons_config(tmp_path) == ()
    write_config(read_config(recipe="kpis"), path)
    assert keep_persons_config(tmp_path) == ()  # as a training left them
    for number, text in enumerate(("# as Anna said\nepochs = 5\n", "no settings at all"), start=1):
        path.write_text(text)
        for _ in range(2):  # where the training did not begin after all
            (said,) = keep_persons_config(tmp_path)
            assert f"they are in {tmp_path / f'config-{number}.toml'} now" in said
        assert (tmp_path / f"config-{number}.toml").read_text() == path.read_text() == text
    assert len(list(tmp_path.iterdir())) == 3

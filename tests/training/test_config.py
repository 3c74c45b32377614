"""Settings: recipes hold, files and words lie over them, and what is wrong is named."""

import pytest

from glomseg.errors import TrainingError
from glomseg.training.config import TrainConfig, parse_config, read_config, recipe_names, write_config


def test_recipes():
    assert recipe_names() == ["glomseg", "kpis", "kpis-reference", "retrain"]
    for name in recipe_names():
        assert isinstance(read_config(recipe=name), TrainConfig)
    assert read_config() == read_config(recipe="glomseg")


def test_the_reference_is_the_reference():
    config = read_config(recipe="kpis-reference")
    assert (config.sample, config.crop_px, config.patch_size, config.batch_size) == ("whole", 256, 256, 16)
    assert (config.loss, config.loss_a, config.loss_pos_weight) == ("bce-dice", 0.8, 25)
    assert (config.optimizer, config.learning_rate, config.weight_decay, config.schedule) == (
        "adam",
        1e-4,
        0,
        "constant",
    )
    assert (config.epochs, config.clip_norm, config.ema_decay, config.warm_up) == (20, 0, 0, 0)
    assert config.augment == type(config.augment).none()


def test_it_survives_being_written(tmp_path):
    config = read_config(recipe="kpis", words=["augment.blur_share=0.25", "epochs=7", "batch_size=auto"])
    write_config(config, tmp_path / "config.toml")
    again = read_config(file=tmp_path / "config.toml")
    assert again == config
    assert parse_config(config.to_toml()) == config
    assert (again.augment.blur_share, again.epochs, again.batch_size) == (0.25, 7, 0)


def test_what_lies_over_what(tmp_path):
    (tmp_path / "mine.toml").write_text('recipe = "kpis"\nepochs = 5\nseed = 4\n[augment]\nflip = false\n')
    config = read_config(file=tmp_path / "mine.toml", words=["seed=6"], under={"patch_size": 256}, species=None)
    assert (config.species, config.epochs, config.seed, config.patch_size) == ("mouse", 5, 6, 256)
    assert config.augment.flip is False
    (tmp_path / "few.toml").write_text("epochs = 5\n")
    few = read_config(file=tmp_path / "few.toml")
    assert few == read_config(words=["epochs=5"]), "a file lies over a recipe, also where it names none"
    assert read_config(file=tmp_path / "few.toml", default="retrain").hard_share == 0.3
    assert read_config(epochs=3, words=["epochs=9"]).epochs == 3


def test_the_machine_does_not_tell_trainings_apart():
    one, two = read_config(words=["workers=1"]), read_config(words=["workers=3", "cache_mb=9"])
    assert one.differences(two) == []
    assert one.differences(read_config(words=["seed=1", "augment.flip=false"])) == ["seed", "augment"]


def test_scale_follows_the_species():
    assert read_config().reading_um_px == 2.5
    assert read_config(words=["species=mouse"]).reading_um_px == pytest.approx(0.9375)
    assert read_config(words=["species=mouse"]).area_um2 == pytest.approx(883.6, abs=0.1)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epoch=3", "no setting epoch; do you mean epochs?"),
        ("colour=3", "no setting colour; there are classes, species"),
        ("augment.blurr=1", "do you mean augment.blur?"),
        ("augment=1", "augment is 1, not a table"),
        ("epochs=many", "epochs is 'many', not a whole number"),
        ("epochs=2.5", "epochs is 2.5, not a whole number"),
        ("epochs=0", "epochs is 0; give at least 1"),
        ("learning_rate=inf", "not a finite number"),
        ("positive_share=1.5", "give 0 to 1"),
        ("sample=tiles", "it is one of crop, whole"),
        ("augment.stain=HE", "it is one of H-E-DAB, H-PAS, none"),
        ("augment.scale=[1]", "not a list of 2 numbers"),
        ("thresholds=[]", "thresholds is []"),
        ("batch_size=1", "BatchNorm"),
        ("batch_size=true", "not a whole number"),
        ("patch_size=300", "patch size 300 is not possible"),
        ("crop_px=100", "multiples of 16"),
        ('classes=["A", "B"]', "models of one class"),
        ("epochs", "write key=value"),
        ("positive_share=0.9", "more than 1"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(word, message):
    with pytest.raises(TrainingError) as caught:
        read_config(words=[word])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_settings(tmp_path):
    with pytest.raises(TrainingError, match=r"no\.toml"):
        read_config(file=tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("epochs = ")
    with pytest.raises(TrainingError, match="not TOML"):
        read_config(file=tmp_path / "bad.toml")
    with pytest.raises(TrainingError, match="there are glomseg, kpis"):
        read_config(recipe="best")

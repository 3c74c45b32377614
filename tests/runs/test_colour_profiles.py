"""ICC profiles of a run's slides: never applied in silence, and never mixed."""

import json

import numpy as np
import pytest
from PIL import Image
from support.colour_profiles import power_profile, stored, write_with_profile
from support.slides import draw, strew

from glomseg.runs.run import load_run
from glomseg.study.run_results import describe_run

GAMMA = 205 / 256  # so that tissue as stored is as dark as a disc
DISCS = 4


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Three slides of the same discs: one in sRGB, two stored by a scanner with a profile of its own."""
    folder = tmp_path_factory.mktemp("scanner")
    tissue = (40, 40, 944, 944)
    picture = draw((1024, 1024), tissue, strew(tissue, DISCS, 40, 3))
    write_with_profile(folder / "plain.tif", picture, None)
    for name in ("one", "two"):
        write_with_profile(folder / f"{name}.tif", stored(picture, GAMMA), power_profile(GAMMA))
    return folder


def test_a_profile_is_said_once_and_applied_where_that_is_asked_for(slides, oracle_folder, tmp_path, glomseg) -> None:
    call = ("segment", slides, "--model", oracle_folder, "--workers", "0")
    as_stored = glomseg(*call, "-o", tmp_path / "stored")
    assert as_stored.code == 0, as_stored.err
    flat = " ".join(as_stored.err.split())
    assert flat.count("Scanner of the tests") == 1
    assert "of 2 images (one.tif, two.tif): it was not applied" in flat
    assert "--icc applies it" in flat
    plain = load_run(tmp_path / "stored")
    assert not plain.parameters.icc
    assert plain.images["plain"].colour_profile is None
    assert plain.images["plain"].glomeruli == DISCS != plain.images["one"].glomeruli

    applied = glomseg(*call, "-o", tmp_path / "applied", "--icc")
    assert applied.code == 0, applied.err
    flat = " ".join(applied.err.split())
    assert "of 2 images (one.tif, two.tif): it was applied" in flat
    assert "no ICC profile is in 1 image (plain.tif): read as stored" in flat
    run = load_run(tmp_path / "applied")
    assert [run.images[name].glomeruli for name in ("plain", "one", "two")] == [DISCS] * 3
    areas = [run.images[name].glomerular_area_um2 for name in ("plain", "one", "two")]
    assert np.ptp(areas) / areas[0] < 0.01
    assert describe_run(run).icc
    summary = (tmp_path / "applied/summary.md").read_text()
    assert "Scanner of the tests" in summary
    assert "| icc | True |" in summary

    measured = {name: " ".join(glomseg("measure", tmp_path / name).err.split()) for name in ("stored", "applied")}
    assert "ICC" not in measured["stored"]
    said = "of 2 images (one.tif, two.tif): not applied, tissue and stain are measured on colours as they are stored"
    assert f"{said}, though a run read them, and pictures show them, in sRGB" in measured["applied"]
    stained = " ".join(glomseg("measure", tmp_path / "stored", "--pas", "-o", tmp_path / "pas").err.split())
    assert said in stained
    assert "though a run" not in stained
    shown = {}
    for name in ("stored", "applied"):
        assert glomseg("gallery", tmp_path / name, "-o", tmp_path / f"gallery-{name}").code == 0
        crops = sorted((tmp_path / f"gallery-{name}/crops").glob("one-*.jpg"))
        shown[name] = np.mean([np.asarray(Image.open(crop))[:20, :20].mean() for crop in crops])
    plain_crops = sorted((tmp_path / "gallery-applied/crops").glob("plain-*.jpg"))
    expected = np.mean([np.asarray(Image.open(crop))[:20, :20].mean() for crop in plain_crops])
    assert abs(shown["applied"] - expected) < 3 < abs(shown["stored"] - expected)  # as the run read them

    truth = tmp_path / "truth"
    truth.mkdir()
    for name in ("one", "two"):
        (truth / f"{name}.tif").symlink_to(slides / f"{name}.tif")
        (truth / f"{name}.geojson").symlink_to(tmp_path / f"applied/{name}.geojson")
    judge = ("evaluate", "--model", oracle_folder, truth, "--device", "cpu", "--no-pictures", "--json")
    as_read, otherwise = (glomseg(*judge, "-o", tmp_path / f"eval{len(how)}", *how) for how in (("--icc",), ()))
    assert json.loads(as_read.out)["overall"]["matched"] == 2 * DISCS
    assert json.loads(otherwise.out)["overall"]["matched"] < 2 * DISCS
    assert "--icc applies it" in " ".join(otherwise.err.split())

    mixed = glomseg(*call, "-o", tmp_path / "stored", "--icc")
    assert mixed.code == 1
    assert "icc" in mixed.err
    assert json.loads((tmp_path / "stored/run.json").read_text())["parameters"]["icc"] is False

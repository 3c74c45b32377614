"""The commands as a user types them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import torch
from support.slides import disc_slide

from glomseg.models.variable_unet import VariableUNet
from glomseg.qupath.objects import read_geojson
from glomseg.runs.run import load_run
from glomseg_cli.console import Console
from glomseg_cli.main import cli


def commands() -> list[tuple[str, click.Command]]:
    found = []
    for name, command in cli.commands.items():
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {below}", inner) for below, inner in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_help(name: str, command: click.Command, glomseg) -> None:
    assert command.help
    shown = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    assert all(option.help or option.metavar for option in shown)
    result = glomseg(*name.split(), "--help")
    assert result.code == 0
    assert "Usage:" in result.out


def test_segment_writes_all_that_it_promises(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    (tmp_path / "in").mkdir()
    truth = disc_slide(tmp_path / "in" / "a slide #1.tif")
    empty = disc_slide(tmp_path / "in" / "empty.tif", discs=[], tissue=(0, 0, 0, 0))
    out = tmp_path / "out"
    result = glomseg("segment", tmp_path / "in", "-o", out, "--model", oracle_folder, "--overlay", "--device", "cpu")
    assert result.code == 0, result.err
    objects = read_geojson(out / "a slide #1.geojson")
    assert len(objects) == len(truth.discs)
    assert {item.class_name for item in objects} == {"Glomerulus"}
    assert read_geojson(out / "empty.geojson") == []
    rows = list(csv.DictReader((out / "glomeruli.csv").open()))
    assert len(rows) == len(truth.discs)
    total_um2 = sum(disc.area for disc in truth.discs) * truth.mpp**2
    assert sum(float(row["area_um2"]) for row in rows) == pytest.approx(total_um2, rel=0.02)
    record = json.loads((out / "run.json").read_text())
    assert record["images"]["a slide #1"]["state"] == "done"
    assert record["parameters"]["model"] == "oracle"
    assert record["device"] == "cpu"
    assert (out / "overlay" / "a slide #1.png").stat().st_size > 1000
    assert empty.path.name in result.out
    assert not list(out.glob(".prob*"))


def test_json_is_all_that_stdout_holds(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    result = glomseg("segment", truth.path, "-o", tmp_path / "out", "--model", oracle_folder, "--json", "--quiet")
    assert json.loads(result.out)["images"]["slide"]["glomeruli"] == len(truth.discs)
    assert result.err == ""


@pytest.mark.slow
def test_the_same_command_goes_on_and_another_is_refused(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    first, second = disc_slide(tmp_path / "1.tif"), disc_slide(tmp_path / "2.tif", seed=1)
    out = tmp_path / "out"
    glomseg("segment", first.path, "-o", out, "--model", oracle_folder)
    before = (out / "1.geojson").stat().st_mtime_ns
    assert glomseg("segment", first.path, second.path, "-o", out, "--model", oracle_folder).code == 0
    assert (out / "1.geojson").stat().st_mtime_ns == before
    assert len(read_geojson(out / "2.geojson")) == len(second.discs)
    refused = glomseg("segment", first.path, "-o", out, "--model", oracle_folder, "--threshold", "0.9")
    assert refused.code == 1
    assert "threshold" in refused.err
    again = glomseg("segment", first.path, "-o", out, "--model", oracle_folder, "--threshold", "0.9", "--restart")
    assert again.code == 0
    assert (out / "1.geojson").stat().st_mtime_ns != before
    disc_slide(tmp_path / "1.tif", seed=3)  # another image under the old name
    assert glomseg("segment", first.path, "-o", out, "--model", oracle_folder, "--threshold", "0.9").code == 0
    (centre,) = {item.geometry.centroid.coords[0] for item in read_geojson(out / "1.geojson")[:1]}
    assert any(abs(disc.x - centre[0]) < 2 for disc in disc_slide(tmp_path / "x.tif", seed=3).discs)


def test_slides_of_one_name_stay_apart(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    paths = []
    for seed, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        paths.append(disc_slide(tmp_path / folder / "slide.tif", count=3 + seed, seed=seed).path)
    out = tmp_path / "out"
    assert glomseg("segment", *paths, "-o", out, "--model", oracle_folder).code == 0
    assert sorted(len(read_geojson(path)) for path in out.glob("*.geojson")) == [3, 4]


def test_a_bad_slide_does_not_stop_the_others(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    good = disc_slide(tmp_path / "good.tif")
    no_mpp = disc_slide(tmp_path / "no_mpp.tif", mpp=None)
    text = tmp_path / "text.tif"
    text.write_text("no image")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(good.path.read_bytes()[: good.path.stat().st_size // 2])
    out = tmp_path / "out"
    slides = (tmp_path / "missing.svs", text, cut, no_mpp.path, good.path)
    result = glomseg("segment", *slides, "-o", out, "--model", oracle_folder)
    assert result.code == 1
    assert "Traceback" not in result.err
    for name in ("missing.svs", "text.tif", "cut.tif", "no_mpp.tif"):
        (line,) = [line for line in result.err.splitlines() if line.startswith(f"glomseg: {name}")]
        assert len(line) > len(f"glomseg: {name}: ")
    assert "--mpp" in result.err
    assert [path.name for path in out.glob("*.geojson")] == ["good.geojson"]
    mended = glomseg("segment", no_mpp.path, "-o", out, "--model", oracle_folder, "--mpp", "0.5")
    assert "no_mpp" in mended.out
    assert len(read_geojson(out / "no_mpp.geojson")) == len(no_mpp.discs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--device", "cuda:7"], "--device"),
        (["--device", "toaster"], "toaster"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    tmp_path: Path, oracle_folder: Path, glomseg, arguments, message
) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    result = glomseg("segment", truth.path, "-o", tmp_path / "out", "--model", oracle_folder, *arguments)
    assert result.code == 1
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_species_than_have_a_size_here_works(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """A card may say any species: what is compared with the usual size of one is left out."""
    truth = disc_slide(tmp_path / "slide.tif")
    shutil.copytree(oracle_folder, tmp_path / "cats")
    card = json.loads((tmp_path / "cats/card.json").read_text()) | {"species": "cat"}
    (tmp_path / "cats/card.json").write_text(json.dumps(card))
    result = glomseg("segment", truth.path, "-o", tmp_path / "out", "--model", tmp_path / "cats")
    assert result.code == 0, result.err


def test_wrong_calls_exit_with_2(tmp_path: Path, glomseg) -> None:
    assert glomseg("segment", tmp_path).code == 2
    assert glomseg("nonsense").code == 2
    (tmp_path / "empty").mkdir()
    assert glomseg("segment", tmp_path / "empty", "-o", tmp_path / "out").code == 1
    assert glomseg("segment", "x.svs", "-o", tmp_path / "out", "--mpp", "small").code == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path, oracle_folder: Path, unwritable: Path, glomseg) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    result = glomseg("segment", truth.path, "-o", unwritable, "--model", oracle_folder)
    assert result.code == 1
    assert str(unwritable) in result.err


def test_a_corrupt_model_is_refused(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    broken = Path(shutil.copytree(oracle_folder, tmp_path / "broken"))
    weights = bytearray((broken / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "weights.safetensors").write_bytes(weights)
    for command in (("models", "verify", broken), ("segment", "x.svs", "-o", tmp_path / "out", "--model", broken)):
        result = glomseg(*command)
        assert result.code == 1
        assert "sha256" in result.err


def test_models_are_listed_shown_and_verified(oracle_folder: Path, glomseg) -> None:
    assert "pas-starter" in glomseg("models", "list").out
    card = json.loads(glomseg("models", "show", "pas-starter").out)
    assert card["architecture"] == "variable-unet"
    assert card["training_data"][0]["licence"].startswith("CC BY")
    assert glomseg("models", "verify", "pas-starter").code == 0
    assert glomseg("models", "verify", oracle_folder).code == 0


def test_import_of_a_state_dict(tmp_path: Path, glomseg) -> None:
    torch.save(VariableUNet(256).state_dict(), tmp_path / "best.pth")
    out = tmp_path / "imported"
    arguments = ("--architecture", "variable-unet", "--mpp", "1.9", "--output", out)
    assert glomseg("models", "import", tmp_path / "best.pth", *arguments).code == 0
    assert json.loads(glomseg("models", "show", out).out)["spacing_um_px"] == 1.9
    torch.save({"model": VariableUNet(256)}, tmp_path / "pickle.pth")
    refused = glomseg("models", "import", tmp_path / "pickle.pth", "--model-mpp", "1.9", "--output", tmp_path / "no")
    assert refused.code == 1
    assert "code" in refused.err
    assert not (tmp_path / "no").exists()


def test_doctor_names_what_is_here(glomseg, no_qupath: None) -> None:
    result = glomseg("doctor")
    assert result.code == 0
    for name in ("Python", "torch", "GPU", "OpenSlide", "QuPath"):
        assert name in result.out
    assert "PAQUO_QUPATH_DIR" in result.out


@pytest.mark.parametrize(("version", "said"), [("0.5.1", True), ("0.6.0", False), ("0.7.0-rc1", False)])
def test_doctor_says_where_the_windows_were_not_tried(glomseg, monkeypatch, tmp_path: Path, version, said) -> None:
    from glomseg.qupath import process

    info = process.QuPathInfo(version=version, folder=tmp_path, java_version="17")
    monkeypatch.setattr(process, "find_qupath", lambda: info)
    assert ("were tried in 0.6 and 0.7" in " ".join(glomseg("doctor").out.split())) == said


def test_a_long_table_looks_as_a_short_one(capsys, monkeypatch) -> None:
    rows = [(str(number), f"漢字 {number}", "x" * (number % 7)) for number in range(60)]
    tables = []
    for many in (10, 100):
        monkeypatch.setattr("glomseg_cli.console.MANY_ROWS", many)
        Console(quiet=False, as_json=False).table(("id", "image", "state"), rows)
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command where Ctrl-C is heard, also where the tests run in the background and theirs is not."""
    command = [sys.executable, "-m", "glomseg_cli.main", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_first_result(out: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not ((out / "run.json").exists() and any(record.is_done for record in load_run(out).images.values())):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)


def many_slides(folder: Path) -> dict[Path, int]:
    """Draw slides to be interrupted among; returns how many discs are on each."""
    drawn = [disc_slide(folder / f"{seed}.tif", size=(2000, 2000), seed=seed) for seed in range(2)]
    copies = {folder / f"{copy} of {slide.path.name}": slide for copy in range(3) for slide in drawn}
    return {Path(shutil.copy(slide.path, path)): len(slide.discs) for path, slide in copies.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_and_resumed(tmp_path: Path, oracle_folder: Path, glomseg, how: signal.Signals) -> None:
    """Killed or stopped with Ctrl-C in the middle, the same command completes the rest and repeats nothing."""
    if os.name == "nt":
        pytest.skip("signals work differently on Windows")
    slides = many_slides(tmp_path)
    out = tmp_path / "out"
    arguments = ("segment", *slides, "-o", out, "--model", oracle_folder)
    process = start(*arguments)
    wait_for_first_result(out, process)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in err
    if how == signal.SIGINT:
        assert err.strip().splitlines()[-1].endswith("the same command goes on where it stopped")
        assert process.returncode == 130
    for path in out.glob("*.geojson"):
        json.loads(path.read_text())
    results = [out / f"{key}.geojson" for key, record in load_run(out).images.items() if record.is_done]
    done = {path: path.stat().st_mtime_ns for path in results}
    assert len(done) < len(slides)
    assert glomseg(*arguments).code == 0
    for path, modified in done.items():
        assert path.stat().st_mtime_ns == modified
    for path, discs in slides.items():
        assert len(read_geojson(out / f"{path.stem}.geojson")) == discs
    assert not list(out.glob(".probability*"))


@pytest.mark.slow
def test_two_at_once_on_one_folder(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    out = tmp_path / "out"
    arguments = ("segment", *many_slides(tmp_path), "-o", out, "--model", oracle_folder)
    process = start(*arguments)
    wait_for_first_result(out, process)
    second = glomseg(*arguments)
    assert second.code == 1
    assert "another glomseg" in second.err
    assert process.wait(timeout=60) == 0


def test_a_slide_that_fails_later_leaves_no_old_result(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Another slide of that name, damaged, leaves nothing; the same one damaged, or none that opens, is offline."""
    truth = disc_slide(tmp_path / "slide.tif")
    out = tmp_path / "out"
    arguments = ("segment", truth.path, "-o", out, "--model", oracle_folder)
    assert glomseg(*arguments).code == 0
    whole, before = truth.path.read_bytes(), (out / "slide.geojson").read_bytes()
    for content in (whole[:5000], b"", b"a placeholder of a cloud"):
        truth.path.write_bytes(content)
        offline = glomseg(*arguments)
        assert offline.code == 0, offline.err
        assert "what this run found on it before stays" in offline.err
        assert (out / "slide.geojson").read_bytes() == before
    other = disc_slide(tmp_path / "other.tif", size=(1536, 1024)).path
    truth.path.write_bytes(other.read_bytes()[:5000])
    assert glomseg(*arguments).code == 1
    record = json.loads((out / "run.json").read_text())["images"]["slide"]
    assert record["state"] == "failed"
    assert "glomeruli" not in record
    assert not (out / "slide.geojson").exists()


@pytest.mark.slow
def test_another_slide_of_a_name_gets_another_result(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    (tmp_path / "more").mkdir()
    first, second = disc_slide(tmp_path / "a.tif", count=3), disc_slide(tmp_path / "more" / "a.tif", count=5, seed=2)
    out = tmp_path / "out"
    assert glomseg("segment", first.path, "-o", out, "--model", oracle_folder).code == 0
    assert glomseg("segment", second.path, first.path, first.path, "-o", out, "--model", oracle_folder).code == 0
    assert len(read_geojson(out / "a.geojson")) == 3
    assert len(read_geojson(out / "a.tif.geojson")) == 5
    assert len((out / "glomeruli.csv").read_text().splitlines()) == 1 + 3 + 5
    (out / "a.geojson").unlink()  # a result that somebody removed is no obstacle to another slide
    assert glomseg("segment", second.path, "-o", out, "--model", oracle_folder).code == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not have such names")
def test_odd_file_names_stop_nothing(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    names = [b"b:c.tif", b"\xff.tif", b"plain.tif", b"[40x] a?.tif", b"two\nlines.tif"]
    paths = [disc_slide(tmp_path / "made.tif").path.rename(tmp_path / os.fsdecode(name)) for name in names]
    result = glomseg("segment", *paths, "-o", tmp_path / "out", "--model", oracle_folder)
    assert result.code == 0, result.err
    assert len(list((tmp_path / "out").glob("*.geojson"))) == len(names)
    assert r"two\nlines.tif " in result.out


def test_another_card_is_another_run(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    model = Path(shutil.copytree(oracle_folder, tmp_path / "model"))
    arguments = ("segment", truth.path, "-o", tmp_path / "out", "--model", model)
    assert glomseg(*arguments).code == 0
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, "minimum_area_um2": 1e6}))
    assert "card_sha256" in glomseg(*arguments).err


@pytest.mark.slow
def test_a_probability_that_is_asked_for_later_is_made(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    arguments = ("segment", truth.path, "-o", tmp_path / "out", "--model", oracle_folder)
    assert glomseg(*arguments).code == 0
    assert glomseg(*arguments, "--keep-probability", "--overlay").code == 0
    assert (tmp_path / "out" / "probability" / "slide.tif").is_file()
    assert (tmp_path / "out" / "overlay" / "slide.png").is_file()


def test_paths_that_cannot_be_are_one_line(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    for command in (("segment", "x" * 300, "-o", tmp_path / "out", "--model", oracle_folder), ("status", "y" * 300)):
        result = glomseg(*command)
        assert result.code == 1
        assert "Traceback" not in result.err


def test_the_demo_leaves_another_project_alone(tmp_path: Path, glomseg) -> None:
    (tmp_path / "project.qpproj").write_text("{}")
    result = glomseg("demo", "--output", tmp_path)
    assert result.code == 1
    assert "another project" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["project.qpproj"]
    (tmp_path / "project.qpproj").rename(tmp_path / "Study.qpproj")  # its classes were replaced
    result = glomseg("demo", "--output", tmp_path)
    assert (result.code, "another project" in result.err) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["Study.qpproj"]

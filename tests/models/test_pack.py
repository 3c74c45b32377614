"""Models in one file: the same bytes for the same models, and nothing taken from a file that is not whole."""

import functools
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from glomseg.errors import GlomsegError, ModelError, RunError
from glomseg.models.pack import pack_models, unpack_models
from glomseg.models.predict import load_model
from glomseg.models.store import find_model, list_models, shipped_folder, verify_model
from glomseg.models.variable_unet import VariableUNet

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def model(folder: Path, weights: bytes = b"weights", **changes: object) -> Path:
    """A folder with a right card and weights that nobody loads."""
    card = json.loads((shipped_folder() / "pas-starter" / "card.json").read_text())
    folder.mkdir(parents=True)
    card |= {"name": folder.name, "scores": {}, "weights_sha256": hashlib.sha256(weights).hexdigest(), **changes}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "README.md").write_text("about it")
    return folder


@functools.cache
def weights(value: float) -> bytes:
    """The weights of the smallest network, all of one value."""
    with torch.device("meta"):
        state = VariableUNet(256).state_dict()
    return save(
        {
            name: torch.full(item.shape, value if item.is_floating_point() else 0, dtype=item.dtype)
            for name, item in state.items()
        }
    )


def usable(folder: Path, value: float = 0.0) -> Path:
    """A model that can be loaded."""
    return model(folder, weights(value), architecture_args={"patch_size": 256})


class Brightness(nn.Module):
    """How light a pixel is, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1, keepdim=True).clamp(0, 1) * self.factor


def script(factor: float) -> bytes:
    """A network as TorchScript."""
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(Brightness(factor)), content)
    return content.getvalue()


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def foreign(file: Path, entries: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip whose list of digests is right, whatever else is not."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in entries.items())
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in {**entries, "SHA256SUMS": sums.encode()}.items():
            archive.writestr(name, data)
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GLOMSEG_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_shipped_model_there_and_back(tmp_path: Path, home: Path, glomseg) -> None:
    file = tmp_path / "carry" / "pas.glomseg"
    mine = Path(shutil.copytree(shipped_folder() / "pas-starter", tmp_path / "pas 2 (ours)"))
    packed = glomseg("models", "pack", mine, "pas-starter", "-o", file)
    assert packed.code == 0
    assert "sha256" in packed.out
    unpacked = glomseg("models", "unpack", file)
    assert (unpacked.code, unpacked.err) == (0, "")
    place = home / ".glomseg" / "models"
    assert {path.name: written(path) for path in place.iterdir()} == {"pas 2 (ours)": written(mine)} | {
        "pas-starter": written(shipped_folder() / "pas-starter")
    }
    assert find_model("pas 2 (ours)") == place / "pas 2 (ours)"
    assert "pas 2 (ours)" in glomseg("models", "list").out
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    assert np.array_equal(load_model("pas 2 (ours)").predict(images), load_model(mine).predict(images))


def test_where_it_is_put(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, glomseg) -> None:
    pack_models((usable(tmp_path / "a"),), tmp_path / "a.glomseg")
    monkeypatch.setenv("GLOMSEG_MODELS", str(tmp_path / "first"))
    assert glomseg("models", "unpack", tmp_path / "a.glomseg").code == 0
    assert list_models()["a"] == tmp_path / "first" / "a"
    assert glomseg("models", "unpack", tmp_path / "a.glomseg", "-o", tmp_path / "named").code == 0
    assert written(tmp_path / "named" / "a") == written(tmp_path / "a")
    assert not home.exists()


def test_same_models_same_bytes(tmp_path: Path) -> None:
    a, b = usable(tmp_path / "a"), usable(tmp_path / "b", 1)
    pack_models((a, b), tmp_path / "1.glomseg")
    (a / "card.json").touch()
    (a / "card.json").chmod(0o600)
    pack_models((b, a), tmp_path / "2.glomseg")
    assert (tmp_path / "1.glomseg").read_bytes() == (tmp_path / "2.glomseg").read_bytes()


def test_a_foreign_network_there_and_back(tmp_path: Path) -> None:
    there = model(tmp_path / "f", script(1.0), architecture="torchscript", architecture_args={"probabilities": True})
    (there / "weights.safetensors").rename(there / "model.ts")
    pack_models((there,), tmp_path / "f.glomseg")
    unpack_models(tmp_path / "f.glomseg", tmp_path / "out")
    assert written(tmp_path / "out" / "f") == written(there)
    entries = {f"f/{name}": data for name, data in written(there).items()} | {"f/model.onnx": b"a program more"}
    with pytest.raises(ModelError, match="other files than its card names"):
        unpack_models(foreign(tmp_path / "more.glomseg", entries), tmp_path / "again")
    assert not (tmp_path / "again" / "f").exists()
    bad = model(
        tmp_path / "g", script(float("nan")), architecture="torchscript", architecture_args={"probabilities": True}
    )
    (bad / "weights.safetensors").rename(bad / "model.ts")
    with pytest.raises(ModelError, match="not finite"):
        pack_models((bad,), tmp_path / "g.glomseg")


def test_the_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    pack_models((usable(tmp_path / "a"),), tmp_path / "a.glomseg")
    with zipfile.ZipFile(tmp_path / "a.glomseg") as archive:
        lines = archive.read("SHA256SUMS").decode().splitlines()
    expected = {f"a/{name}": hashlib.sha256(data).hexdigest() for name, data in written(tmp_path / "a").items()}
    assert {name: digest for digest, name in (line.split("  ") for line in lines)} == expected


def test_what_is_not_packed(tmp_path: Path, glomseg) -> None:
    good, other = usable(tmp_path / "x" / "a"), usable(tmp_path / "y" / "a", 1)
    damaged, hidden = usable(tmp_path / "damaged"), usable(tmp_path / ".hidden")
    unlike, broken = model(tmp_path / "unlike"), usable(tmp_path / "broken", float("nan"))
    (damaged / "weights.safetensors").write_bytes(b"weightz")
    for names, word in (
        ((good, other), "each name once"),
        ((damaged,), "the file is damaged"),
        ((unlike,), "not a safetensors file"),
        ((good, broken), "not finite"),
        ((hidden,), "rename"),
        (("no-such-model",), "no-such-model"),
    ):
        refused = glomseg("models", "pack", *names, "-o", tmp_path / "out.glomseg")
        assert refused.code == 1
        assert word in refused.err
        assert len(refused.err.splitlines()) == 1
    (tmp_path / "out.glomseg").write_text("mine")
    assert "exists already" in glomseg("models", "pack", good, "-o", tmp_path / "out.glomseg").err
    assert (tmp_path / "out.glomseg").read_text() == "mine"
    assert not list(tmp_path.glob(".out*"))


def test_a_model_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    pack_models((usable(tmp_path / "a"), usable(tmp_path / "b")), tmp_path / "ab.glomseg")
    mine = model(tmp_path / "out" / "b", b"mine")
    before = written(mine)
    with pytest.raises(RunError, match="exists already"):
        unpack_models(tmp_path / "ab.glomseg", tmp_path / "out")
    assert written(tmp_path / "out") == {f"b/{name}": data for name, data in before.items()}


def test_a_packed_model_given_as_a_model(tmp_path: Path) -> None:
    pack_models((usable(tmp_path / "a"),), tmp_path / "a.glomseg")
    with pytest.raises(ModelError, match="glomseg models unpack"):
        find_model(tmp_path / "a.glomseg")


def test_no_damage_goes_unseen(tmp_path: Path) -> None:
    """Whatever byte is changed, and wherever the file ends: refused in one line, or the model is what it was."""
    original = written(model(tmp_path / "a"))
    whole = foreign(tmp_path / "a.glomseg", {f"a/{name}": data for name, data in original.items()}).read_bytes()
    bad = tmp_path / "bad.glomseg"
    cases = [whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in range(0, len(whole), 5)]
    cases += [whole[:i] for i in range(0, len(whole), 61)]
    refused = []
    for number, content in enumerate(cases):
        bad.write_bytes(content)
        out = tmp_path / "out" / str(number)
        try:
            unpack_models(bad, out)
        except GlomsegError as error:
            refused.append(str(error))
            assert not out.exists() or not list(out.iterdir())
        else:
            assert written(out) == {f"a/{name}": data for name, data in original.items()}
    assert len(refused) > 0.8 * len(cases)
    assert not any("\n" in message for message in refused)


def test_nothing_leaves_the_folder(tmp_path: Path) -> None:
    parts = written(model(tmp_path / "a"))
    for number, name in enumerate(("..", ".", "", "/tmp/a", "../a", "a/../..", "..\\a", "C:\\a", "a/b", ".a", "a ")):
        file = foreign(tmp_path / f"{number}.glomseg", {f"{name}/{part}": data for part, data in parts.items()})
        with pytest.raises(ModelError, match="is no part of a model"):
            unpack_models(file, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def test_foreign_files(tmp_path: Path) -> None:
    parts = {f"a/{part}": data for part, data in written(model(tmp_path / "a")).items()}
    other = written(model(tmp_path / "b", threshold=2))
    cards = {f"b/{part}": data for part, data in other.items()}
    swapped = {**parts, "a/weights.safetensors": b"others"}
    cases = {
        "is no part of a model": {**parts, "a/run.py": b"import os"},
        "has no card or no weights": {"a/README.md": b"hello"},
        "not those of its card": swapped,
        "threshold": cards,
        "bytes": {**parts, "a/README.md": b" " * (2 << 20)},
    }
    for words, entries in cases.items():
        file = tmp_path / "foreign.glomseg"
        foreign(file, entries)
        with pytest.raises(ModelError, match=words) as error:
            unpack_models(file, tmp_path / "out")
        assert str(error.value).startswith(str(file))
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        bomb = foreign(tmp_path / "bomb.glomseg", {**parts, "a/README.md": b" " * 9999}, compression=compression)
        with pytest.raises(ModelError, match="compressed"):
            unpack_models(bomb, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("word/document.xml", b"<xml/>")
    with pytest.raises(ModelError, match="no SHA256SUMS"):
        unpack_models(tmp_path / "other.zip", tmp_path / "out")
    (tmp_path / "text.glomseg").write_text("hello")
    for file in (tmp_path / "text.glomseg", tmp_path / "missing.glomseg", tmp_path):
        with pytest.raises(ModelError, match=str(file)):
            unpack_models(file, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_link_comes_in_as_a_file(tmp_path: Path) -> None:
    """A zip can call an entry a symbolic link; what it would point to must not be read or written."""
    parts = {f"a/{part}": data for part, data in written(model(tmp_path / "a")).items()}
    foreign(tmp_path / "link.glomseg", {**parts, "a/README.md": b"/etc/passwd"})
    content = (tmp_path / "link.glomseg").read_bytes()
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"a/README.md"))
    changed = content[: start + 38] + (0o120777 << 16).to_bytes(4, "little") + content[start + 42 :]
    (tmp_path / "link.glomseg").write_bytes(changed)
    unpack_models(tmp_path / "link.glomseg", tmp_path / "out")
    assert not (tmp_path / "out" / "a" / "README.md").is_symlink()
    assert (tmp_path / "out" / "a" / "README.md").read_bytes() == b"/etc/passwd"


def test_a_full_disk(tmp_path: Path, full_disk) -> None:
    folder = usable(tmp_path / "a")
    pack_models((folder,), tmp_path / "a.glomseg")
    with full_disk(after_bytes=100_000):
        with pytest.raises(RunError, match=r"b\.glomseg.*free space"):
            pack_models((folder,), tmp_path / "b.glomseg")
        with pytest.raises(RunError, match="free space"):
            unpack_models(tmp_path / "a.glomseg", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.glomseg", "out"]
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("what", ["merge", "pack", "unpack"])
def test_stopped_when_all_is_made_what_it_says_holds(tmp_path: Path, glomseg, monkeypatch, what: str) -> None:
    """The same command, which it names, refuses then what it has made itself: that is whole, as it said before."""
    a, b = usable(tmp_path / "a"), usable(tmp_path / "b", 1.0)
    card = json.loads((b / "card.json").read_text())
    (b / "card.json").write_text(json.dumps({**card, "class_names": ["Tuft"]}))
    pack_models((a,), tmp_path / "a.glomseg")
    arguments: dict[str, tuple[object, ...]] = {
        "merge": (a, b, "-o", tmp_path / "ab"),
        "pack": (b, "-o", tmp_path / "b.glomseg"),
        "unpack": (tmp_path / "a.glomseg", "-o", tmp_path / "out"),
    }

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("glomseg_cli.models._tell", stop)
        stopped = glomseg("models", what, *arguments[what])
    assert (stopped.code, stopped.err.count("\n")) == (130, 1)
    assert "what it says is there already is whole" in stopped.err
    again = glomseg("models", what, *arguments[what])
    assert again.code == 1
    assert " already; remove it" in again.err
    if what == "pack":
        unpack_models(tmp_path / "b.glomseg", tmp_path / "of b")
    else:
        verify_model(tmp_path / ("ab" if what == "merge" else "out/a"))

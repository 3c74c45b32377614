"""Weights of the reference project: tensors are read, and no code."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from support.small_models import images

from glomseg.errors import ModelError
from glomseg.models.foreign import import_state_dict
from glomseg.models.predict import Model, load_model


@pytest.mark.parametrize("wrap", [None, "model_state_dict", "state_dict", "model", "module."])
def test_import(tmp_path, net, wrap):
    state = net.state_dict()
    if wrap == "module.":
        state = {f"module.{key}": value for key, value in state.items()}
    elif wrap:
        state = {wrap: state, "epoch": 20}
    torch.save(state, tmp_path / "best.pth")
    made = import_state_dict(
        tmp_path / "best.pth", tmp_path / "mine", mpp=1.9, training_diameter_um=75, species="mouse"
    )
    assert made.name == "mine"
    assert made.mpp == 1.9
    assert made.architecture_args == {"patch_size": 256}  # the smallest of those with this network
    assert made.patch_size_pixels == 256
    assert np.array_equal(
        load_model(tmp_path / "mine").predict(images()), Model(made, net, torch.device("cpu")).predict(images())
    )


def test_import_replaces_no_model(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "best.pth")
    folder = tmp_path / "mine"
    how = {"mpp": 1.9, "training_diameter_um": 75, "species": "mouse"}
    import_state_dict(tmp_path / "best.pth", folder, **how)
    before = (folder / "card.json").read_bytes()
    with pytest.raises(ModelError, match="holds a model already"):
        import_state_dict(tmp_path / "best.pth", folder, **{**how, "mpp": 3})
    assert (folder / "card.json").read_bytes() == before


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from the file was run')",))


def refused(path, tmp_path, match):
    with pytest.raises(ModelError, match=match) as error:
        import_state_dict(path, tmp_path / "out", mpp=1.9, training_diameter_um=75, species="mouse")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_import_refuses_code(tmp_path, net):
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    refused(tmp_path / "evil.pth", tmp_path, "refused")
    torch.save(net, tmp_path / "whole.pth")
    refused(tmp_path / "whole.pth", tmp_path, "refused")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    refused(tmp_path / "plain.pkl", tmp_path, "refused|not a PyTorch file")


def test_import_refuses_nonsense(tmp_path, net):
    refused(tmp_path / "missing.pth", tmp_path, "no such file")
    (tmp_path / "text.pth").write_text("hello")
    refused(tmp_path / "text.pth", tmp_path, r"refused|not a PyTorch file")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", tmp_path, "no state dict")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    refused(tmp_path / "other.pth", tmp_path, "not a VariableUNet")
    state = net.state_dict()
    del state["final.bias"]
    torch.save(state, tmp_path / "short.pth")
    refused(tmp_path / "short.pth", tmp_path, r"final\.bias")
    torch.save(net.state_dict() | {"final.bias": torch.tensor([float("nan")])}, tmp_path / "nan.pth")
    refused(tmp_path / "nan.pth", tmp_path, r"final\.bias holds values that are not finite")


def test_import_refuses_what_would_take_the_memory(tmp_path, net, recwarn):
    """A file of a few megabytes may say that it unpacks to as many gigabytes; PyTorch packs nothing."""
    torch.save(net.state_dict(), tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as bomb:
        for entry in whole.infolist():
            bomb.writestr(entry.filename, whole.read(entry))
    refused(tmp_path / "bomb.pth", tmp_path, "it grows when it is unpacked")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    refused(tmp_path / "old.pth", tmp_path, "not a plain state dict")
    assert not [warning for warning in recwarn if "pickle protocol" in str(warning.message)]

"""The list of networks says what each is, needs and weighs."""

import importlib.util
import json
from pathlib import Path

import pytest

from glomseg.models import architectures
from glomseg.models.architectures import VARIANTS, count_parameters, list_architectures
from glomseg.models.networks import NETWORKS

PUBLISHED = {"mask2former": 107e6, "smp-upernet": 98e6, "segformer": 82e6}
"""Parameters of the largest size that is listed, as papers give them."""


def test_every_network_is_there_in_a_size_that_can_be_built(glomseg):
    for library in ("transformers", "segmentation_models_pytorch"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    infos = list_architectures()
    assert {info.architecture for info in infos} == set(NETWORKS)
    assert all(info.what for info in infos)
    largest = {info.architecture: info.parameters for info in infos}  # the last of each
    for name, parameters in PUBLISHED.items():
        assert largest[name] == pytest.approx(parameters, rel=0.01)
    assert count_parameters(VARIANTS[0]) == 682_529
    listed = json.loads(glomseg("models", "architectures", "--json").out)
    assert [item["parameters"] for item in listed] == [info.parameters for info in infos]


def test_without_a_library_the_remedy_stands_beside_the_network(glomseg, monkeypatch):
    monkeypatch.setattr(architectures, "is_installed", lambda module: False)
    shown = glomseg("models", "architectures").out
    assert "pip install 'glomseg[smp]'" in shown
    assert "pip install 'glomseg[transformers]'" in shown


def test_the_documentation_has_the_costs_that_the_command_tells():
    text = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.count("|") == 11
    ]
    documented = {(row[0], row[1]): row[3] for row in rows[2:]}
    told = {(item.architecture, item.told): "" if item.cost is None else f"{item.cost:.1f}" for item in VARIANTS}
    assert documented == told

"""Made-up tissue and a made-up KPIs tree, which nobody may change."""

import pytest
from support.tissue import write_fields
from support.trees import write_kpis_patches


@pytest.fixture(scope="session")
def kpis_tree(tmp_path_factory):
    """Patches of 256 px in the KPIs layout: 3 groups, 4 cases each, 48 patches; nobody may change it."""
    return write_kpis_patches(tmp_path_factory.mktemp("KPIs"))


@pytest.fixture(scope="session")
def fields(tmp_path_factory):
    """24 fields of made-up tissue on 8 slides; nobody may change them."""
    return write_fields(tmp_path_factory.mktemp("tissue") / "fields")

"""What the Groovy scripts say, held without a QuPath."""

import re

from glomseg.models.card import DEFAULT_MODEL
from glomseg.qupath.scripts import list_scripts, script_files

NEWER_THAN_0_5 = r"getMeasurementList\(\)\.getNames|openInBrowser"
"""What QuPath 0.5.1 lacks of what 0.6 and 0.7 have, as its sources say; it was never run in our windows."""


def test_scripts_call_nothing_that_the_oldest_qupath_lacks():
    assert [path.name for path in script_files() if re.search(NEWER_THAN_0_5, path.read_text("utf-8"))] == []


def test_the_usual_model_of_the_menu_is_that_of_the_commands():
    assert f'USUAL = "{DEFAULT_MODEL}"' in list_scripts()["annotate_current_image"].read_text("utf-8")


def test_no_line_is_too_long_for_their_linter():
    """It runs last of all, and needs Node and Java."""
    for path in script_files():
        lines = path.read_text("utf-8").splitlines()
        assert [(path.name, number) for number, line in enumerate(lines, 1) if len(line) > 120] == []

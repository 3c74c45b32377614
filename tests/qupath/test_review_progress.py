"""How far a review is, which QuPath keeps with the image's metadata, is told as far as the image's data agree."""

import json

import pytest

from glomseg.qupath.review_mark import PROGRESS, progress_of

SAID = "2 accept, 1 reject, 1 sclerotic, 3 to do"
VERDICTS = {"accept": 2, "reject": 1, "sclerotic": 1}
STANDS = {"Glomerulus": 5, "Glomerulus: Sclerotic": 1, "Rejected": 1, "Tubule": 9}


@pytest.mark.parametrize(
    ("verdicts", "annotations", "told"),
    [
        (VERDICTS, STANDS, SAID),
        (None, None, SAID),  # nothing speaks against it
        (VERDICTS, None, SAID),
        (VERDICTS, {**STANDS, "Rejected": 40}, SAID),  # what a person rejected without the review
        (VERDICTS, {**STANDS, "Glomerulus": 46}, None),  # a run came in since
        (VERDICTS | {"accept": 1}, {**STANDS, "Glomerulus": 4}, None),  # a judged one was deleted since
        (
            VERDICTS,
            {**STANDS, "Glomerulus": 3, "glomeruli": 2, "Glomerulus: Artefact*": 1},
            SAID,
        ),  # the one rule of classes
        ({}, {}, None),
        (None, {}, None),
    ],
)
def test_progress_is_told_where_the_data_agree(verdicts, annotations, told):
    assert progress_of({PROGRESS: SAID}, verdicts, annotations) == told
    assert progress_of({}, verdicts, annotations) is None


def test_a_copy_of_an_image_made_without_its_data_has_no_verdicts(study_0_6_0, glomseg, no_qupath):
    """QuPath's "Duplicate image" copies the metadata in any case."""
    content = json.loads(study_0_6_0.read_text("utf-8"))
    content["images"][0].setdefault("metadata", {})[PROGRESS] = SAID
    content["images"].append({**content["images"][0], "entryID": 9, "imageName": "copy"})
    study_0_6_0.write_text(json.dumps(content), "utf-8")
    images = {image["name"]: image for image in json.loads(glomseg("status", study_0_6_0, "--json").out)["images"]}
    assert (images["copy"]["review"], images["copy"]["verdicts"]) == (None, {})

"""The table of docs/ownership.md: each row says what becomes of whose object, and has tests that hold it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELD = {
    "`annotate`, `collect`": (
        "runs/test_write_image.py::test_a_new_run_replaces_the_machines_objects_alone",
        "runs/test_write_image.py::test_what_a_person_did_in_qupath_is_recognised_and_left_alone",
        "runs/test_collect.py::test_nothing_is_put_on_what_a_person_drew_and_what_was_left_is_said",
        "runs/test_write_image.py::test_a_deleted_prediction_stays_away",
    ),
    "`annotate --region`, `--within`": (
        "runs/test_write_image.py::test_only_the_processed_area_is_replaced",
        "runs/test_plan.py::test_a_region_is_obeyed_and_what_is_to_ignore_left_out",
        "runs/test_plan.py::test_only_inside_the_areas_of_a_file",
    ),
    "`rethreshold`": ("runs/test_rethreshold.py::test_it_is_a_write_like_any_and_undo_takes_it_back",),
    "`undo`": (
        "runs/test_collect.py::test_undo_after_a_run_is_the_identity",
        "runs/test_collect.py::test_what_was_deleted_since_stays_deleted",
        "runs/test_undo.py::test_undo_leaves_what_a_person_made_of_an_object",
    ),
    "`restore`": ("runs/test_collect.py::test_a_backup_is_listed_and_restored",),
    "`measure --write`": (
        "study/test_write_back.py::test_values_in_qupath_equal_those_in_the_csv",
        "study/test_write_back.py::test_measuring_leaves_the_machines_its_own_and_classes_are_a_persons",
    ),
    "`gallery --apply`": (
        "report/test_gallery.py::test_classes_come_back_into_the_project",
        "report/test_judgements.py::test_labels_that_no_longer_fit_are_named",
    ),
    "the review colours it": (
        "qupath/test_scripts.py::test_a_review_in_qupath",
        "runs/test_collect.py::test_what_a_person_added_in_qupath_outlives_the_next_run_and_undo",
    ),
    "`import_results` in QuPath": (
        "qupath/test_scripts.py::test_an_import_in_qupath_does_what_collect_does",
        "windows/test_qupaths_undo.py::test_one_step_back_takes_back_all_that_a_run_changed",
    ),
    "the file of a run was corrected by hand (such as by an export from QuPath put over it) and comes in": (
        "runs/test_corrected_files.py::test_what_was_corrected_in_the_file_of_a_run_stays_a_persons",
    ),
    "somebody saves the image meanwhile": (
        "runs/test_collect.py::test_somebody_saves_while_we_write",
        "qupath/test_safe_write.py::test_a_save_between_the_last_look_and_the_rename_is_put_back",
    ),
    "yesterday's data are put back": (
        "runs/test_remembered.py::test_what_is_remembered_is_true_of_the_data_that_stands",
        "runs/test_any_order.py::test_a_short_while",
    ),
    "an open QuPath saves over a run, or over another person's save": (
        "runs/test_remembered.py::test_a_qupath_that_was_open_saves_over_what_was_brought_in",
        "windows/test_kept.py::test_qupaths_own_save_loses_nothing_of_another_programs",
    ),
    "the image is duplicated in QuPath": (
        "runs/test_remembered.py::test_a_duplicate_of_an_image_knows_what_was_deleted_on_the_original",
    ),
    "an outline is put onto another plane of a stack or a time series": (
        "runs/test_brought.py::test_what_was_put_on_another_plane_is_a_persons_and_what_it_was_copied_from_is_not",
        "runs/test_ownership.py::test_a_copy_on_another_plane_is_a_persons_and_the_original_the_machines",
    ),
    "an outline is copied to another image, or dragged in from a file": (
        "runs/test_brought.py::test_what_was_copied_from_another_image_stays",
        "runs/test_brought.py::test_what_may_be_a_runs_own_result_is_the_machines",
    ),
    "outlines come into an image marked as fully reviewed, or go": (
        "runs/test_review_mark.py::test_outlines_that_came_after_the_review_are_not_reviewed",
        "runs/test_review_mark.py::test_data_of_before_the_review_are_not_reviewed",
    ),
    "two people have the project open in QuPath, and one marks an image as fully reviewed": (
        "windows/test_review_and_others.py::test_marks_of_another_persons_qupath_stay",
        "runs/test_review_mark.py::test_a_mark_that_another_qupath_saved_over_is_missed",
    ),
    "two people have the project open in QuPath, and one names or describes an image, gives it metadata or tags, sets "
    "its pixel size, magnification or channels, or lists a class": (
        "windows/test_project_file.py::test_names_and_metadata_that_another_qupath_gave_stay",
        "windows/test_project_file.py::test_pixel_sizes_and_classes_that_another_qupath_gave_stay",
    ),
    "an open QuPath loads what another program saved, with what was done there since": (
        "qupath/test_done_again.py::test_what_was_done_here_and_there_stands_in_both",
        "qupath/test_done_again.py::test_where_both_did_something_to_an_outline_what_was_done_here_stands_and_that_is_said",
        "qupath/test_done_again.py::test_what_was_done_here_is_found_again_by_its_outline_where_the_ids_are_others_now",
        "qupath/test_done_again.py::test_what_was_done_to_the_image_itself_and_to_its_cells_stands",
        "windows/test_load_it.py::test_what_another_program_saves_meanwhile_is_neither_overwritten_nor_in_the_way",
        "windows/test_load_it.py::test_what_was_saved_here_and_another_qupath_saved_over_stands_again",
    ),
    "a script in QuPath saves (`glomseg qupath run --save`)": (
        "runs/test_run_script.py::test_what_a_script_saves_over_is_a_backup",
        "runs/test_run_script.py::test_what_another_saves_into_the_project_while_a_script_runs_stays",
    ),
    "the data are damaged or not there yet, and a script or the review is about to save": (
        "runs/test_run_script.py::test_nothing_is_saved_over_data_that_cannot_be_read",
        "runs/test_run_script.py::test_no_import_takes_the_place_of_data_that_cannot_be_read",
        "runs/test_run_script.py::test_no_review_is_saved_over_data_that_cannot_be_read",
    ),
    "the data are another image's (folders exchanged or copied, or two QuPaths that added images at once)": (
        "qupath/test_image_of_data.py::test_folders_of_data_that_were_exchanged_are_refused_and_named",
        "qupath/test_image_of_data.py::test_a_file_that_was_renamed_copied_or_converted_is_the_same",
        "windows/test_project_file.py::test_data_of_another_image_are_not_judged_as_this_ones",
    ),
    "the id is another image's now (a project made again, a run folder copied, two project files over one folder)": (
        "runs/test_same_image.py::test_a_run_looked_at_another_image_under_this_id",
        "runs/test_same_image.py::test_a_backup_of_another_image_is_not_the_last_one",
        "runs/test_same_image.py::test_an_import_looks_whose_outlines_they_are",
        "runs/test_same_image.py::test_two_project_files_over_one_folder",
    ),
    "run folders, or what was remembered, are deleted": (
        "runs/test_careless.py::test_the_folder_of_an_older_run_is_deleted",
        "runs/test_careless.py::test_what_was_remembered_is_lost",
        "runs/test_careless.py::test_an_import_offers_nothing_again_where_what_was_remembered_is_lost",
    ),
    "another person's glomseg wrote what this user may not read": (
        "runs/test_rights.py::test_what_another_wrote_and_may_not_be_read_is_not_gone",
    ),
    "a run comes in while a review is read": (
        "runs/test_read_meanwhile.py::test_what_came_in_meanwhile_is_not_taught_as_deleted",
    ),
    "a sync tool leaves a second copy of the data": (
        "runs/test_careless.py::test_a_copy_that_a_sync_tool_left_is_said_and_can_be_brought_back",
    ),
    "two objects have one id": (
        "runs/test_collect.py::test_two_objects_of_one_id_are_told_apart",
        "study/test_write_back.py::test_an_id_that_two_objects_have_is_left_alone_and_said",
    ),
    "all outlines of a run are gone at once": (
        "runs/test_remembered.py::test_all_of_a_run_gone_at_once_is_said_and_not_believed",
        "runs/test_careless.py::test_outlines_of_a_run_that_are_all_gone_are_said_where_what_is_left_counts",
    ),
    "`data.qpdata` is missing though `summary.json` tells of it, or a run wrote it": (
        "runs/test_collect.py::test_data_that_is_missing_is_not_an_image_that_was_never_saved",
        "runs/test_missing_folder.py::test_nothing_is_put_in_its_place",
    ),
    "a glomseg is killed, or stopped with Ctrl-C": (
        "runs/test_interrupt.py::test_at_every_operation",
        "runs/test_interrupt.py::test_a_real_process_ends_as_by_hand",
        "runs/test_kill.py::test_collect",
        "runs/test_kill.py::test_undo",
        "runs/test_kill.py::test_restore",
        "runs/test_kill.py::test_measure_write",
        "runs/test_kill.py::test_gallery_apply",
        "runs/test_kill_import.py::test_a_kill_at_every_operation_of_the_import",
        "runs/test_kill_import.py::test_qupath_killed_while_it_saves_an_import",
        "training/test_kill_retrain.py::test_a_kill_at_many_operations",
    ),
}


def test_every_row_of_the_table_has_its_tests():
    text = (ROOT / "docs/ownership.md").read_text("utf-8")
    rows = re.findall(r"^\| (.*?) \|.*\|$", text, re.MULTILINE)
    assert [row for row in rows if row != "event"] == list(HELD)


@pytest.mark.parametrize("test", sorted({test for tests in HELD.values() for test in tests}))
def test_the_tests_of_the_table_are_there(test):
    place, name = test.split("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / place).read_text("utf-8"), re.MULTILINE)

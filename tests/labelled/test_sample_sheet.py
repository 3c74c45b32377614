"""One reader of sample sheets, however they are written."""

from pathlib import Path, PureWindowsPath

import pytest

from glomseg.errors import SampleSheetError
from glomseg.labelled.find_files import find_labels
from glomseg.labelled.image_info import info_of, refuse_shared_rows
from glomseg.labelled.match_samples import match_samples
from glomseg.labelled.pairs import pair_up
from glomseg.labelled.sample_sheet import Sample, read_sample_sheet, sample_of

ROWS = {"a.svs": Sample(animal="m1", group="DN", split="test"), "b.svs": Sample(animal="m2")}


def sheet(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "samples.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("image,animal,group,split\na.svs,m1,DN,test\nb.svs,m2,,\n", "utf-8"),
        ("slide;patient;group;part\na.svs;m1;DN;Testing\nb.svs;m2;;\n", "utf-8"),
        ("Image Name\tCASE\tGroup\tSet\r\na.svs\tm1\tDN\ttest\r\nb.svs\tm2\r\n", "utf-8-sig"),
        ("group,file,mouse,split\n\n DN , a.svs ,m1,TEST\n,b.svs,m2,\n,,,\n", "utf-8"),
        ("image\tanimal\tgroup\tsplit\na.svs\tm1\tDN\ttest\nb.svs\tm2\t\t\n", "utf-16"),
        ('sep=;\nimage;animal;group;split\n"a.svs";m1;DN;test\nb.svs;m2;;\n', "utf-8"),
        ("name,animal,group,split\na.svs,m1,DN,test\na.svs,m1,DN,test\nb.svs,m2,,\n", "utf-8"),
    ],
)
def test_a_sheet_however_it_is_written(tmp_path: Path, text: str, encoding: str) -> None:
    assert read_sample_sheet(sheet(tmp_path, text, encoding)).samples == ROWS


def test_one_column_is_a_list_of_images(tmp_path: Path) -> None:
    found = read_sample_sheet(sheet(tmp_path, "image\na.svs\nb.svs\n"))
    assert found.samples == {"a.svs": Sample(), "b.svs": Sample()}


def test_images_are_found_by_name_stem_and_as_their_files_are_called(tmp_path: Path) -> None:
    found = read_sample_sheet(sheet(tmp_path, "slide,animal,diet\na.svs,1,fat\nb,2,lean\nc_mask.tif,3,lean\n"))
    assert [found.find(name).animal for name in ("a.svs", "a.tif", "b.ndpi", "c.png", "c_wsi.tiff")] == list("11233")
    assert found.find("d.svs") is None
    assert found.find("a").column("Diet") == "fat"
    assert found.find("a").column("patient") == "1"
    twice = read_sample_sheet(sheet(tmp_path, "image,animal\na.svs,1\na.tif,2\n"))
    assert twice.find("a.tif").animal == "2"
    with pytest.raises(SampleSheetError, match="either"):
        twice.find("a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,animal\na,1\na,2\n", "two things about a"),
        ("animal,group\n1,2\n", "no column of image names"),
        ("image,animal,Animal\na,1,2\n", "column animal twice"),
        ("image,patient,case\na,1,2\n", "columns patient and case"),
        ("image,animal\nbiopsy, left,1\n", "more cells in line 2"),
        ("image,animal\n,1\n", "names no image in line 2"),
        ("image,split\na,later\n", "split 'later' of a; write train, validation or test"),
        ('image,animal\n"a 1/2" slide",1\nb,2\n', "line 2"),
        ('image,animal\n"a,1\nb,2\n', "unexpected end of data"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = sheet(tmp_path, text)
    with pytest.raises(SampleSheetError, match=message) as raised:
        read_sample_sheet(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "written", ["Ü 2.svs", "U\u0308 2.svs", "C:\\slides\\Ü 2.svs", "/data/Ü 2.svs", "Ü 2", "Ü 2.SVS"]
)
def test_an_image_is_known_whichever_system_wrote_its_name(tmp_path: Path, written: str) -> None:
    path = sheet(tmp_path, f"Image,Mouse_ID,Genotype\n{written},m1,KO\n")
    matched, remarks = match_samples(read_sample_sheet(path), [("1", "Ü 2.svs", Sample())])
    assert matched["1"] == Sample(animal="m1", group="KO")
    assert remarks == []


def test_a_workbook_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(b"PK\3\4" + bytes(40))
    with pytest.raises(SampleSheetError, match="a workbook of a spreadsheet; save it as CSV"):
        read_sample_sheet(path)


def test_a_sheet_of_windows_letters_is_named(tmp_path: Path) -> None:
    with pytest.raises(SampleSheetError, match="CSV UTF-8"):
        read_sample_sheet(sheet(tmp_path, "image,animal\nNiere_ü.svs,1\n", "cp1252"))
    with pytest.raises(SampleSheetError, match="does not exist"):
        read_sample_sheet(tmp_path / "none.csv")


def test_the_sheet_goes_before_qupath(tmp_path: Path) -> None:
    found = read_sample_sheet(sheet(tmp_path, "image,animal,stain\na.svs,m1,\nz.svs,m9,\n"))
    own = sample_of({"Patient": "old", "STAIN": "PAS"})
    assert own == Sample(animal="old", stain="PAS")
    matched, remarks = match_samples(found, [("1", "a.svs", own), ("2", "c.svs", own)])
    assert matched == {"1": Sample(animal="m1", stain="PAS"), "2": own}
    assert remarks == [
        "the sample sheet names images that are not here: z.svs",
        "not in the sample sheet: c.svs",
        "left empty in the sample sheet, and taken from the images' metadata in QuPath: stain PAS of a.svs",
        "the images' metadata in QuPath say otherwise than the sample sheet, which counts: "
        "animal old of a.svs, and not m1",
    ]


def test_a_sheet_in_another_language_is_said(tmp_path: Path) -> None:
    found = read_sample_sheet(sheet(tmp_path, "image;souris;groupe\na.svs;m1;x\n"))
    _, remarks = match_samples(found, [("1", "a.svs", Sample())])
    assert "its columns are souris, groupe; call them animal and group" in remarks[0]
    known = read_sample_sheet(sheet(tmp_path, "image;group;poids\na.svs;x;3\n"))
    assert match_samples(known, [("1", "a.svs", Sample())])[1] == []


def test_an_animal_in_two_parts_is_said(tmp_path: Path) -> None:
    found = read_sample_sheet(sheet(tmp_path, "image,animal,split\na,m1,train\nb,m1,test\nc,m2,test\nd,,train\n"))
    assert "images of one animal in several parts (m1 is)" in found.remarks[0]
    assert len(found.remarks) == 1


def test_evaluation_takes_group_animal_and_part_from_it(tmp_path: Path) -> None:
    found = read_sample_sheet(
        sheet(tmp_path, "slide;animal;diet;split\na.svs;mouse 1;high fat;val\nb_mask.tiff;mouse 2;chow;test\n")
    )
    (tmp_path / "masks").mkdir()
    for name in "abc":
        (tmp_path / f"masks/{name}.png").write_bytes(b"x")
    labels = find_labels(tmp_path / "masks")
    pairs, _ = pair_up(labels, labels)
    infos = [info_of(pair, found, group_by="diet") for pair in pairs[:2]]
    assert [(i.key, i.group, i.unit, i.split) for i in infos] == [
        ("a", "high fat", "mouse 1", "validation"),
        ("b", "chow", "mouse 2", "test"),
    ]
    with pytest.raises(SampleSheetError, match="no row for 'c'"):
        info_of(pairs[2], found)
    with pytest.raises(SampleSheetError, match="no column 'dose'"):
        found.check_column("dose")


@pytest.mark.parametrize("unknown", ["NA", "n/a", "NaN", "#REF!"])
def test_what_nobody_knows_is_no_name(unknown: str, tmp_path: Path) -> None:
    """R and pandas write NA where nothing is known: as a name it made one animal of all that are not."""
    (tmp_path / "s.csv").write_text(f"image,animal,group,diet\na.svs,{unknown},high,{unknown}\nb.svs,{unknown},low,x\n")
    sheet = read_sample_sheet(tmp_path / "s.csv")
    matched, remarks = match_samples(sheet, [("1", "a.svs", Sample(animal="m1")), ("2", "b.svs", Sample())])
    assert [matched[key].animal for key in "12"] == ["m1", ""]
    assert [matched[key].column("diet") for key in "12"] == ["", "x"]
    assert [matched[key].group for key in "12"] == ["high", "low"]
    assert f"has 3 cells with {unknown}, read as empty" in remarks[0]


def test_numbers_that_a_spreadsheet_shortened_are_said(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("image,animal\na.svs,1.23E+05\nb.svs,1.23E+05\n")
    assert "1.23E+05, as spreadsheets shorten" in read_sample_sheet(tmp_path / "s.csv").remarks[0]


def test_a_row_of_an_image_is_not_that_of_another_with_its_number(tmp_path: Path) -> None:
    """QuPath numbers the images of a project; a sheet whose images are named 1 and 2 means the names."""
    (tmp_path / "s.csv").write_text("image,animal\n1,m1\n2,m2\n")
    images = [("1", "2.svs", Sample()), ("2", "1.svs", Sample()), ("3", "c.svs", Sample())]
    matched, remarks = match_samples(read_sample_sheet(tmp_path / "s.csv"), images)
    assert {key: sample.animal for key, sample in matched.items()} == {"1": "m2", "2": "m1", "3": ""}
    assert "not for the ids of others: 2 is that of 2.svs, 1 is that of 1.svs" in remarks[0]
    images = [("1", "img2.svs", Sample()), ("2", "img1.svs", Sample()), ("3", "c.svs", Sample())]
    matched, remarks = match_samples(read_sample_sheet(tmp_path / "s.csv"), images)
    assert "not for the ids of others: 2 is that of img2.svs, 1 is that of img1.svs" in remarks[0]
    images = [("1", "img1.svs", Sample()), ("2", "2.svs", Sample())]
    assert match_samples(read_sample_sheet(tmp_path / "s.csv"), images)[1] == []
    matched, remarks = match_samples(
        read_sample_sheet(tmp_path / "s.csv"), [("9", "1.svs", Sample()), ("1", "c", Sample())]
    )
    assert matched["1"].animal == ""
    assert "not in the sample sheet: c" in remarks


def test_a_row_without_its_zeros_is_not_that_of_another_image_with_its_number(tmp_path: Path) -> None:
    """A spreadsheet makes 1 of 001, and the entry id 1 is another image's where they came in another order."""
    (tmp_path / "s.csv").write_text("image,animal\n1,m1\n2,m2\n3,m3\n")
    images = [("1", "003.svs", Sample()), ("2", "002.svs", Sample()), ("3", "x.svs", Sample())]
    matched, remarks = match_samples(read_sample_sheet(tmp_path / "s.csv"), images)
    assert {key: sample.animal for key, sample in matched.items()} == {"1": "", "2": "m2", "3": ""}
    assert remarks[0].endswith("images that are not here: 1, 3")
    assert remarks[1] == "not in the sample sheet: 003.svs, x.svs"


def test_names_that_a_spreadsheet_took_for_dates_are_said(tmp_path: Path) -> None:
    text = "image,animal,group,section\na,03/04/2026,2026-03-01,2026-05-05\nb,1-Mar,Rat-01,\nc,MAR-1,Rat 12,1-2\n"
    (tmp_path / "s.csv").write_text(text)
    (remark,) = read_sample_sheet(tmp_path / "s.csv").remarks
    assert "has 03/04/2026, 1-Mar, 2026-03-01 for animals or groups, as spreadsheets write dates" in remark


def test_one_row_and_two_images_of_that_name(tmp_path: Path) -> None:
    """Scans of two animals, each in a folder of its own, have one name in a project: both were of the one animal."""
    images = [("4", "slide.tif", Sample()), ("5", "b.tif", Sample()), ("8", "slide.tif", Sample())]
    sheet = tmp_path / "s.csv"
    sheet.write_text("image,animal\nslide.tif,m1\nb.tif,m2\n")
    matched, remarks = match_samples(read_sample_sheet(sheet), images)
    assert [matched[key].animal for key in ("4", "5", "8")] == ["m1", "m2", "m1"]
    assert remarks == [
        "the row slide.tif of the sample sheet is taken for 2 images (ids 4, 8): "
        "where they are of different animals, give each a row by its id, or with its folder, in place of it"
    ]
    sheet.write_text("image,animal\n4,m1\nb.tif,m2\n8,m3\n")  # as is advised
    matched, remarks = match_samples(read_sample_sheet(sheet), images)
    assert [matched[key].animal for key in ("4", "5", "8")] == ["m1", "m2", "m3"]
    assert remarks == []
    sheet.write_text("image,animal\nA/slide.tif,m1\nb.tif,m2\nB\\slide.tif,m3\n")  # and as is, too
    paths = {"4": Path("/lab/A/slide.tif"), "5": None, "8": PureWindowsPath("D:\\lab\\B\\slide.tif")}
    matched, remarks = match_samples(read_sample_sheet(sheet), images, paths)
    assert [matched[key].animal for key in ("4", "5", "8")] == ["m1", "m2", "m3"]
    assert remarks == []


@pytest.mark.parametrize(
    ("rows", "animals"),
    [
        (["A/s.tif"], ["m1", "", ""]),
        (["A/s.tif", "B/s.tif"], ["m1", "m2", ""]),
        (["lab/A/s.tif", "lab/B/s.tif"], ["m1", "m2", ""]),
        (["A/s.tif", "Z/s.tif"], ["m1", "", ""]),
        (["A/s.tif", "B/s.tif", "Z/s.tif"], ["m1", "m2", ""]),
        (["A/s.tif", "s.tif"], ["m1", "m2", "m2"]),
        (["D:\\elsewhere\\s.tif"], ["m1", "m1", "m1"]),
    ],
)
def test_a_row_with_a_folder_is_of_no_image_of_that_name_in_another(
    rows: list[str], animals: list[str], tmp_path: Path
) -> None:
    """B/s.tif and C/s.tif, left out of a sheet, counted for the animal of A/s.tif, or of the two others for either."""
    text = "".join(f"{row},m{number}\n" for number, row in enumerate(rows, 1))
    images = [(key, "s.tif", Sample()) for key in "ABC"]
    paths = {key: Path(f"/lab/{key}/s.tif") for key in "ABC"}
    matched, _ = match_samples(read_sample_sheet(sheet(tmp_path, f"image,animal\n{text}")), images, paths)
    assert [matched[key].animal for key in "ABC"] == animals


def test_a_row_that_fits_two_images_of_an_evaluation_is_refused(tmp_path: Path) -> None:
    for animal in "AB":
        (tmp_path / animal).mkdir()
        (tmp_path / animal / "img1.png").write_bytes(b"x")
    labels = find_labels(tmp_path)
    pairs, _ = pair_up(labels, labels)
    path = sheet(tmp_path, "image,animal\nimg1.png,m1\n")
    with pytest.raises(SampleSheetError, match=r"fits 2 images \(A/1, B/1\); give each a row that names its folder"):
        refuse_shared_rows(pairs, read_sample_sheet(path))
    path.write_text("image,animal\nA/img1.png,m1\nB/img1.png,m2\n")
    found = read_sample_sheet(path)
    refuse_shared_rows(pairs, found)
    assert [info_of(pair, found).unit for pair in pairs] == ["m1", "m2"]
    path.write_text("image,animal\nA/img1.png,m1\n")
    with pytest.raises(SampleSheetError, match="fits 2 images"):
        refuse_shared_rows(pairs, read_sample_sheet(path))

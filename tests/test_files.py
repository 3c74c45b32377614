"""Tables and records: what is written is what is read, and no spreadsheet runs it."""

import csv
import errno
import io
import json
import math
import os
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glomseg.errors import RunError
from glomseg.files import (
    csv_text,
    json_text,
    markdown_text,
    new_folder,
    parse_csv,
    read_csv,
    read_json,
    replacing,
    write_csv,
    write_json,
    write_text,
    write_texts,
)
from glomseg.listing import first_names
from glomseg.unexpected import describe

FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "''-",
    "'plain",
    "-",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_starts_a_formula_and_all_come_back(text: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["image", "n"], [{"image": text, "n": -1.5}])
    (cells,) = list(csv.reader(io.StringIO(csv_text(["image", "n"], [{"image": text, "n": -1.5}]), newline="")))[1:]
    assert not cells[0].startswith(tuple("=+-@\t\r\n＝＋－＠"))
    assert cells[1] == "-1.5"  # a number is no formula
    assert read_csv(tmp_path / "t.csv") == (["image", "n"], [{"image": text, "n": "-1.5"}])


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4))
def test_any_text_comes_back(cells: list[str]) -> None:
    columns = [f"c{index}" for index in range(len(cells))] + ["last"]
    row = {**dict(zip(columns, cells, strict=False)), "last": "x"}
    assert parse_csv(csv_text(columns, [row])) == (columns, [row])


def test_cells() -> None:
    rows = [{"a": True, "b": None, "c": math.nan, "d": 1 / 3}, {"a": 2, "b": "x,y", "c": 'say "so"', "d": "two\nlines"}]
    assert csv_text(list("abcd"), rows) == 'a,b,c,d\n1,,,0.33333333\n2,"x,y","say ""so""","two\nlines"\n'
    with pytest.raises(ValueError, match="no column for z"):
        csv_text(["a"], [{"a": 1, "z": 2}])


def test_tables_that_a_spreadsheet_saved() -> None:
    assert parse_csv("\ufeffimage;group\r\na b;'=x\r\n;\r\n\r\n") == (
        ["image", "group"],
        [{"image": "a b", "group": "=x"}],
    )
    assert parse_csv("a,b\n1\n1,2,,\n")[1] == [{"a": "1", "b": ""}, {"a": "1", "b": "2"}]
    assert parse_csv("") == ([], [])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("area,class\n27013,969,X\n", "line 2 has more cells than the first line"),  # a decimal comma
        ("class,n,class\nX,1,Y\n", "the column class is there twice"),
        ('class,n\n"X,1\nY,2\n', "unexpected end"),  # a quote that does not end takes the rows after it along
    ],
)
def test_a_table_that_says_other_than_it_seems_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(csv.Error, match=wrong):
        parse_csv(text)


def test_json_for_people_and_programs(tmp_path: Path) -> None:
    content = {"µ": [1.5, math.nan, math.inf], "t": (1, {"x": -math.inf})}
    write_json(tmp_path / "r.json", content)
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == {"µ": [1.5, None, None], "t": [1, {"x": None}]}
    assert "µ" in json_text(content)


def test_a_file_that_another_program_is_writing_just_now_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """QuPath writes the project's lists in place; a command at that moment called them damaged."""
    path, whole = tmp_path / "classes.json", '{"pathClasses": []}'

    def write_the_rest() -> None:
        time.sleep(0.06)
        path.write_text(whole, "utf-8")

    path.write_text(whole[:9], "utf-8")
    other = threading.Thread(target=write_the_rest)
    other.start()
    assert read_json(path) == {"pathClasses": []}
    other.join()
    path.write_text(whole[:9], "utf-8")
    with pytest.raises(ValueError, match="Unterminated"):
        read_json(path)


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root may play another user")
def test_a_colleague_of_the_group_keeps_the_group_and_the_mode() -> None:
    """Somebody else of the group replaces a file: the group can go on writing, and so can its first owner."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.qpdata"
        path.write_text("old")
        path.chmod(0o664)
        os.chown(path, 12345, 54321)
        os.chown(folder, 12345, 54321)
        Path(folder).chmod(0o775)

        def as_another(groups: list[int]) -> int:
            child = os.fork()
            if child == 0:
                try:
                    os.setgroups(groups)
                    os.setgid(12346)
                    os.setuid(12346)
                    write_text(path, "new")
                except RunError:
                    os._exit(3)
                except BaseException:
                    os._exit(4)
                os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        assert as_another([]) == 3
        assert path.read_text() == "old"
        assert as_another([54321]) == 0
        status = path.stat()
        assert path.read_text() == "new"
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12346, 54321, 0o664)
        assert [item.name for item in Path(folder).iterdir()] == ["data.qpdata"]


ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def access_list(**rights: int) -> bytes:
    """Return an access list as Linux keeps it: for owner, colleague 12345, group, mask and others."""
    entries = [(1, "owner", 2**32 - 1), (2, "colleague", 12345), (4, "group", 2**32 - 1)]
    entries += [(16, "mask", 2**32 - 1), (32, "others", 2**32 - 1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights[name], of) for tag, name, of in entries)


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    """Make a folder whose disk keeps access lists, with a list of its own for what is new in it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    try:
        os.setxattr(folder, DEFAULT, access_list(owner=7, colleague=7, group=5, mask=7, others=0))
    except (OSError, AttributeError):
        pytest.skip("the disk keeps no access lists")
    return folder


def test_an_access_list_and_attributes_stay_with_the_file(shared_folder: Path) -> None:
    """As `setfacl` and `setfattr` give them; a file that has no list does not get that of its folder."""
    path, other = shared_folder / "data.qpdata", shared_folder / "other.qpdata"
    for file in (path, other):
        file.write_text("old")
    listed = access_list(owner=6, colleague=6, group=4, mask=6, others=0)
    os.setxattr(path, ACCESS, listed)
    os.setxattr(path, "user.sync.id", b"\x00share-7")
    os.removexattr(other, ACCESS)
    other.chmod(0o604)
    for file in (path, other):
        write_text(file, "new")
    assert (path.read_text(), os.getxattr(path, ACCESS), os.getxattr(path, "user.sync.id")) == (
        "new",
        listed,
        b"\x00share-7",
    )
    assert os.listxattr(other) == []
    assert stat.S_IMODE(other.stat().st_mode) == 0o604


def test_new_files_and_folders_have_the_rights_that_their_folder_gives(shared_folder: Path, tmp_path: Path) -> None:
    """A colleague who may write in a shared folder may write what we make there, too."""
    copied = tmp_path / "private.json"
    copied.write_text("{}")
    copied.chmod(0o600)
    with replacing(shared_folder / "run.json") as temporary:
        shutil.copy2(copied, temporary)
    with new_folder(shared_folder / "run") as temporary:
        (temporary / "sub").mkdir()
    (shared_folder / "plain").write_text("")
    (shared_folder / "plain folder").mkdir()
    for made, plain in (("run.json", "plain"), ("run", "plain folder"), ("run/sub", "plain folder")):
        ours, theirs = shared_folder / made, shared_folder / plain
        assert ours.stat().st_mode == theirs.stat().st_mode
        assert os.getxattr(ours, ACCESS) == os.getxattr(theirs, ACCESS)


def test_a_name_as_long_as_a_disk_takes(tmp_path: Path) -> None:
    path = tmp_path / ("腎" * 82 + ".geojson")
    for text in ("old", "new"):
        write_text(path, text)
    assert path.read_text() == "new"


def test_names_in_a_sentence() -> None:
    """The first ones, and the number of the others: none is dropped unsaid."""
    assert first_names(["a", "b", "c"]) == "a, b, c"
    assert first_names(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert first_names((number for number in range(9)), 2, between="; ") == "0; 1 and 7 more"
    assert first_names([]) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\\\|b"),
        ("![x](http://e/p.png)", r"![x\](http://e/p.png)"),
        ("[x][y]", r"[x\][y]"),
        ("*a* <b> `c`\nd", r"\*a\* &lt;b> 'c' d"),
        (r"C:\data\a_b [1].tif", r"C:\data\a_b [1].tif"),
    ],
)
def test_text_of_others_is_shown_by_markdown_as_it_is(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no rights as these")
def test_a_folder_of_somebody_else_says_whose_it_is():
    """To free space would not help."""
    with tempfile.TemporaryDirectory() as name:
        folder, is_root = Path(name), os.geteuid() == 0
        folder.chmod(0o755 if is_root else 0o500)
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(
                RunError, match=rf"Permission denied; ask {folder.owner()}, whose {name} is, .* or choose"
            ):
                write_text(folder / "run.json", "{}")
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o700)


def test_a_read_only_disk_is_one_sentence_with_a_way_out(tmp_path: Path) -> None:
    """Not even what is not there can be removed from it, and to free space would not help."""
    where = shlex.quote(str(tmp_path))
    mounted = f"mount --bind {where} {where} && mount -o remount,ro,bind {where}"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "sh", "-c", mounted], check=False).returncode:
        pytest.skip("this user may mount nothing, not even in a namespace")
    code = (
        "import sys; from pathlib import Path; from glomseg.files import new_folder, write_text\n"
        "place = Path(sys.argv[1])\n"
        "def make():\n    with new_folder(place / 'new'):\n        pass\n"
        "for write in (lambda: write_text(place / 'run.json', '{}'), make):\n"
        "    try:\n        write()\n    except Exception as error:\n        print(type(error).__name__, error)\n"
    )
    run = f"{mounted} && exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} {where}"
    said = subprocess.run(["unshare", "-rm", "sh", "-c", run], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        f"RunError cannot write {tmp_path / name}: Read-only file system; mount its disk for writing or choose another "
        "folder"
        for name in ("run.json", "new")
    ]


def test_texts_that_belong_together_are_written_all_or_none(tmp_path: Path, full_disk) -> None:
    """Tables of two measurings side by side would be taken for those of one."""
    before = {tmp_path / name: f"{name} of before" for name in ("a.csv", "b.csv", "c.json")}
    write_texts(before)
    with full_disk(after_bytes=1000), pytest.raises(RunError, match=r"c\.json.*free space"):
        write_texts({path: "new" * (1 if path.suffix == ".csv" else 1000) for path in before})
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before
    order: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        replace = os.replace
        patch.setattr(os, "replace", lambda new, old: (order.append(Path(old).name), replace(new, old))[1])
        write_texts(dict.fromkeys(before, "new"))
    assert order == [path.name for path in before]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"new"}


@pytest.mark.parametrize("number", ["EROFS", "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN"])
def test_a_disk_that_fails_is_not_to_be_reported(number: str) -> None:
    error = OSError(getattr(errno, number), os.strerror(getattr(errno, number)), "/share/data.qpdata")
    assert describe(error).startswith(f"/share/data.qpdata: {error.strerror}; see that its disk is connected")

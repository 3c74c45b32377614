"""What all commands have in common: flags for parameters, old names of options, Ctrl-C, the groups of the help."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from glomseg.errors import MissingMppError
from glomseg.unexpected import describe, is_disk_full
from glomseg_cli import main as main_module
from glomseg_cli import options
from glomseg_cli.commands import Command, Interrupted, command, with_flags
from glomseg_cli.console import Console
from glomseg_cli.lines import one_line
from glomseg_cli.main import cli, main


def leaves(group: click.Group) -> list[click.Command]:
    return [
        inner
        for item in group.commands.values()
        for inner in (leaves(item) if isinstance(item, click.Group) else [item])
    ]


@command(renamed={"--scale": "--mpp", "-s": "--mpp"})
@click.option("--mpp", help="x")
@click.option("--class", "class_name", help="x")
@options.resuming
@options.output
def made(mpp: str | None, class_name: str | None, resume: bool, restart: bool, quiet: bool, as_json: bool) -> str:
    """Fail with what the library says, or give back what was asked."""
    if mpp is None:
        Console(quiet=quiet, as_json=as_json).warn("see `class_name`")
        raise MissingMppError("no pixel size; give `mpp` or `class_name`, not `slides`; see `glomseg undo PROJECT`")
    return mpp


def test_an_error_of_the_library_names_the_flags_of_the_running_command(capsys) -> None:
    with pytest.raises(MissingMppError) as raised:
        made.main(["--json"], standalone_mode=False)
    assert str(raised.value) == (
        "no pixel size; give --mpp or --class, not `slides`; see `glomseg undo PROJECT`"  # no --slides here
    )
    assert capsys.readouterr().err == "glomseg: see --class\n"
    assert with_flags("give `mpp`") == "give `mpp`"  # no command is running


def test_a_whole_command_line_speaks_of_its_flags(tmp_path: Path, glomseg, monkeypatch) -> None:
    monkeypatch.setattr("glomseg.runs.status.read_project", fails)
    result = glomseg("status", tmp_path)
    assert result.code == 1
    assert result.err == "glomseg: name it with --slides, not `mpp`\n"


def fails(*_: object, **__: object) -> None:
    raise MissingMppError("name it with `slides`, not `mpp`")


@pytest.mark.parametrize("words", [["--scale", "0.5"], ["--scale=0.5"], ["-s", "0.5"], ["--mpp", "0.5"]])
def test_a_former_name_is_taken_with_a_word(words: list[str], capsys) -> None:
    assert made.main(words, standalone_mode=False) == "0.5"
    said = capsys.readouterr().err
    assert said == ("" if words[0] == "--mpp" else f"glomseg: {words[0].partition('=')[0]} is --mpp now\n")


def test_resume_and_restart_exclude_each_other() -> None:
    result = CliRunner().invoke(made, ["--mpp", "1", "--restart", "--resume"])
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_ctrl_c_says_what_is_true(glomseg, monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glomseg.runs.collect.read_project", stopped)
    result = glomseg("collect", "x")
    assert result.code == 130
    assert result.err == f"glomseg: interrupted; {cli.commands['collect'].interrupted}\n"
    monkeypatch.setattr(main_module.cli, "main", stopped)  # before any command runs
    assert (glomseg("collect", "x").code, glomseg("collect", "x").err) == (130, "glomseg: interrupted\n")


def test_a_command_can_say_more_on_ctrl_c() -> None:
    @command(interrupted="nothing was changed")
    def stops() -> None:
        raise KeyboardInterrupt("after epoch 3")

    with pytest.raises(Interrupted, match=r"^after epoch 3$"):
        stops.main([], standalone_mode=False)


def test_every_command_knows_what_to_say_and_stands_under_one_heading() -> None:
    for item in leaves(cli):
        assert isinstance(item, Command), item.name
        assert item.interrupted
    assert list(cli.headings) == ["Start", "Project", "Measure", "Models and training"]
    listed = [name for names in cli.headings.values() for name in names]
    assert sorted(listed) == sorted(cli.commands)
    text = CliRunner().invoke(cli, ["--help"]).output
    assert all(f"\n{heading}:\n" in text for heading in cli.headings)


def test_stopped_while_it_is_loaded() -> None:
    """Ctrl-C in the first moments is one line, as it is later."""
    code = (
        "import signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from glomseg_cli.entry import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (130, 1), ended.stderr
    assert "interrupted" in ended.stderr


def test_no_name_steers_the_terminal() -> None:
    """A file or an image may have any letter in its name, also those by which a terminal is cleared or written over."""
    assert with_flags("slide \x1b]0;x\x07\x9b2J\rok: 1\n\t2") == r"slide \x1b]0;x\x07\x9b2J\rok: 1" + "\n\t2"
    assert with_flags("Ünï cöde #3 — 木.svs") == "Ünï cöde #3 — 木.svs"


def test_a_name_takes_one_line():
    assert one_line("a\nb\tc\x1b[31m.png") == r"a\nb\tc\x1b[31m.png"
    assert one_line("Ünï cöde #3 [x=0].png") == "Ünï cöde #3 [x=0].png"


def test_no_temporary_folder_is_one_sentence_with_the_way_out(monkeypatch, full_disk) -> None:
    """As Python finds it where the disk is full: it names no file."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    with full_disk(after_bytes=0), pytest.raises(OSError, match="No usable temporary") as raised:
        tempfile.gettempdir()
    assert is_disk_full(raised.value)
    assert describe(raised.value).endswith("; free space, or set TMPDIR to a folder on another disk")


def test_no_memory_is_one_line_whoever_says_it(monkeypatch, capsys):
    def run_into(error):
        monkeypatch.setattr(cli, "main", lambda **_: (_ for _ in ()).throw(error))
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    no_memory = (
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("could not create a primitive"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    )
    for error in no_memory:
        code, text = run_into(error)
        assert (code, text.count("\n")) == (1, 1)
        assert text.startswith("glomseg: no memory left (")
        assert "close other programs" in text
    assert "check the path" in run_into(FileNotFoundError(errno.ENOENT, "No such file", "a"))[1]
    for error in (RuntimeError("anything"), ImportError("no module")):
        with pytest.raises(type(error)):
            run_into(error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export-tiles s.tif -o out --geojson a.geojson --slides there", "--slides changes nothing with --geojson"),
        ("export-tiles p -o out --tile-mpp 1 --downsample 2", "--downsample changes nothing with --tile-mpp"),
        ("export-tiles p -o out --seed 3", "--seed changes nothing without --negatives"),
        ("measure p --pas-threshold 0.2", "--pas-threshold changes nothing without --pas"),
        ("report p --stain-vectors standard --pas-threshold 0.3", "--pas-threshold, --stain-vectors change nothing"),
        ("gallery p --apply l.csv --class Tubule -o out", "--output, --class change nothing with --apply"),
        ("segment s.tif -o out --overlay-width 400", "--overlay-width changes nothing without --overlay"),
        ("annotate p --overlay-color class", "--overlay-color changes nothing without --overlay"),
        ("annotate p --no-collect --forget-rejections", "--forget-rejections changes nothing with --no-collect"),
        ("rethreshold p --no-collect --on-conflict merge", "--on-conflict changes nothing with --no-collect"),
        ("train tiles -o out --slides there", "--slides changes nothing without --from-project"),
        ("train tiles -o out --epochs 3 --minutes 2", "--minutes changes nothing with --epochs"),
        ("train tiles -o out --split s.json --by case", "--by changes nothing with --split"),
        ("doctor --slides there", "--slides changes nothing without PROJECT"),
        ("models verify pas-starter --part test", "--part changes nothing without --scores"),
    ],
)  # fmt: skip
def test_an_option_that_would_change_nothing_is_refused(words: str, said: str, glomseg) -> None:
    """Whoever gives it would take it for done. It is refused before anything is looked at: no file here exists."""
    result = glomseg(*words.split())
    assert result.code == 2
    assert said in " ".join(result.err.split())


def test_what_changes_nothing_is_named_by_parameters_that_there_are() -> None:
    for item in leaves(cli):
        assert isinstance(item, Command)
        names = {parameter.name for parameter in item.params}
        for table in (item.only_with, item.never_with):
            assert names.issuperset(name for lead, others in table.items() for name in (lead, *others)), item.name


def test_an_option_of_one_value_given_twice_is_refused(glomseg) -> None:
    """The first value would be dropped in silence: a region, a second project to learn from, an owner of outlines."""
    for words, flag in (
        ("annotate p --region Cortex --region=Medulla", "--region"),
        ("train --from-project a --from-project b -o out", "--from-project"),
        ("segment s.tif -o one --output two", "--output"),
    ):
        result = glomseg(*words.split())
        assert result.code == 2
        assert f"{flag} takes one value and is given 2 times" in " ".join(result.err.split())
    many = CliRunner().invoke(made, ["--mpp", "1", "--quiet", "--quiet"])
    assert many.exit_code == 0, many.output  # nothing is lost


@pytest.mark.skipif(os.name == "nt", reason="no shell of that kind")
def test_closed_standard_streams_are_opened_on_nothing(tmp_path: Path) -> None:
    """Else the next file has the number of standard output, and what QuPath prints is written into it."""
    code = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from glomseg_cli import entry, main\n"
        "def run():\n"
        "    with open(sys.argv[1], 'wb') as file:\n"
        "        print('said'), sys.stderr.write('said')\n"
        "        child = subprocess.run([sys.executable, '-c', 'print(1, flush=True)'])\n"
        "        file.write(f'{file.fileno() > 2} {child.returncode}'.encode())\n"
        "main.main = run\n"
        "entry.main()\n"
    )
    shell = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", shell, "sh", sys.executable, "-c", code, str(tmp_path / "data")], check=True)
    assert (tmp_path / "data").read_text() == "True 0"

"""One glomseg at a time in a folder, on this machine and on others that share it, and who that is.

An advisory lock keeps processes of one machine apart. On many shares it does nothing, so that the holder also writes
down who it is, in a file that only one can create, and touches it as long as it lives.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from glomseg.errors import GlomsegError, RunError
from glomseg.files import owner_of
from glomseg.settings import parse_json, plain, read_record

HOLDER = ".lock.json"
TOUCH_SECONDS = 20.0
STALE_SECONDS = 300.0
"""A holder that has not touched its file for so long, by the clock of the disk, is taken for dead."""

WAIT_SECONDS = 600.0
"""A shard waits so long for another that writes its share down: that takes moments, but many may stand in line."""

QUIET_SECONDS = 2.0
"""After so long it is said for whom a shard waits."""

_held: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a folder."""

    token: str
    person: str
    host: str
    process: int
    since: str
    command: str

    def __str__(self) -> str:
        """Say who it is, as one says it."""
        return f"{self.person} on {self.host} since {self.since} (process {self.process}: {self.command})"


@contextmanager
def locked(
    folder: Path,
    *,
    beside_shards: bool = False,
    wait_seconds: float = 0.0,
    remark: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Hold a folder for this process; raises RunError where another glomseg works in it or nothing can be written.

    Shards that work there count as another, unless `beside_shards`; for who else holds it `wait_seconds` are waited,
    and `remark` hears who that is. Where the block fails, a lock that it brought there is gone: a refused folder is
    as it was. A folder that it made, and that nothing was put into, is gone in any case.
    """
    patience = _Patience(folder, wait_seconds, remark)
    lock = FileLock(folder / ".lock", timeout=0)
    is_new, was_there = not (folder / ".lock").exists(), folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        patience.wait_for(lock.acquire)
    except OSError as error:
        if not (isinstance(error, PermissionError) and os.access(folder, os.W_OK | os.X_OK)):
            raise _cannot_write(folder, error) from error
        # the lock is a file that another person left there, and what is written down keeps both apart
    try:
        with _written_down(folder, HOLDER, patience):
            if not beside_shards and (shards := shards_at_work(folder)):
                raise _taken(folder, shards[0])
            yield
    except BaseException:
        if is_new:
            with suppress(OSError):  # whoever waits for this file is kept apart by what is written down
                (folder / ".lock").unlink()
        raise
    finally:
        lock.release()
        if not was_there:
            _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    """Remove a folder in which is nothing but the file of the lock."""
    with suppress(OSError):
        if all(path.name == ".lock" for path in folder.iterdir()):
            (folder / ".lock").unlink(missing_ok=True)
            folder.rmdir()


@contextmanager
def locked_as_shard(
    folder: Path, name: str, remark: Callable[[str], None] = lambda text: None
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Hold a shard's share of the work in a folder, beside other shards; yields what holds all of it for a moment.

    Whom it waits for then, `remark` hears. Raises RunError where the same shard is at work, or a command that needs
    the folder for itself.
    """

    def alone() -> AbstractContextManager[None]:
        return locked(folder, beside_shards=True, wait_seconds=WAIT_SECONDS, remark=remark)

    with ExitStack() as stack:
        with alone():
            stack.enter_context(_written_down(folder, f".lock-{name}.json"))
        yield alone


def shards_at_work(folder: Path) -> list[Holder]:
    """Tell which shards work in a folder; of those that died the word is taken away."""
    alive = []
    for path in sorted(folder.glob(".lock-*.json")):
        holder = read_holder(folder, path.name)
        if not _is_dead(path, holder):
            alive.append(holder or _unknown(path))
        else:
            _clear(path, holder)
    return alive


def at_work(folder: Path) -> tuple[Holder, ...]:
    """Tell who works in a folder now, in all of it or as a shard; who has died does not. Nothing is changed."""
    paths = [path for path in (folder / HOLDER, *sorted(folder.glob(".lock-*.json"))) if path.exists()]
    holders = [(path, read_holder(folder, path.name)) for path in paths]
    return tuple(holder or _unknown(path) for path, holder in holders if not _is_dead(path, holder))


def read_holder(folder: Path, name: str = HOLDER) -> Holder | None:
    """Tell who has written down that it holds a folder; None where nobody has, or where that cannot be read."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
        return read_record(Holder, parse_json(text, origin=name), origin=name, unknown="leave")
    except (OSError, UnicodeDecodeError, GlomsegError):
        return None


def _unknown(path: Path) -> Holder:
    """Stand in for a holder that has not said yet who it is."""
    return Holder(token="", person="somebody", host="a computer", process=0, since="now", command=path.stem)


class _Patience:
    """Waits for who else holds a folder, and says so once."""

    def __init__(self, folder: Path, seconds: float, remark: Callable[[str], None]) -> None:
        self._folder, self._remark, self._said = folder, remark, False
        self._begun, self._seconds = time.monotonic(), seconds

    def wait_for(self, attempt: Callable[[], object]) -> None:
        """Try until it succeeds; raises RunError when that has taken too long."""
        while True:
            try:
                attempt()
            except (Timeout, _TakenError) as error:
                waited = time.monotonic() - self._begun
                taken = error if isinstance(error, _TakenError) else _taken(self._folder, read_holder(self._folder))
                if waited >= self._seconds:
                    raise taken from None
                if waited >= QUIET_SECONDS and not self._said:
                    self._remark(f"waiting, for {self._seconds / 60:.0f} minutes at most: {taken.who}")
                    self._said = True
                time.sleep(0.1)
            else:
                return


@contextmanager
def _written_down(folder: Path, name: str, patience: _Patience | None = None) -> Iterator[None]:
    """Write down who holds the folder, in the file of this name; another is waited for with `patience`."""
    holder = Holder(
        token=uuid.uuid4().hex,
        person=_person(),
        host=socket.gethostname(),
        process=os.getpid(),
        since=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        command=" ".join(["glomseg", *sys.argv[1:]])[:200],
    )
    path = folder / name
    _held.add(holder.token)  # first: another thread that reads the file must not take its writer for dead
    try:
        if patience is None:
            _create(folder, path, holder)
        else:
            patience.wait_for(lambda: _create(folder, path, holder))
    except BaseException:
        _held.discard(holder.token)
        raise
    ended = threading.Event()
    touching = threading.Thread(target=_touch, args=(path, ended), daemon=True)
    touching.start()
    try:
        yield
    finally:
        ended.set()
        _held.discard(holder.token)
        now = read_holder(folder, name)
        if now is None or now.token == holder.token:
            with suppress(OSError):
                path.unlink()


def _create(folder: Path, path: Path, holder: Holder) -> None:
    """Write down who holds the folder, where nobody alive has; raises RunError."""
    text = json.dumps(plain(holder), ensure_ascii=False).encode("utf-8", "backslashreplace")
    for _ in range(3):
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            other = read_holder(folder, path.name)
            if not _is_dead(path, other) or not _clear(path, other):
                raise _taken(folder, read_holder(folder, path.name) or other) from None
            continue
        except OSError as error:
            raise _cannot_write(folder, error) from error
        try:
            os.write(file, text)
        except OSError as error:  # an empty word would keep everybody out for as long as it may be young
            with suppress(OSError):
                path.unlink()
            raise RunError(f"cannot write in {folder}: {error.strerror}; free space and try again") from error
        finally:
            os.close(file)
        return
    raise _taken(folder, read_holder(folder, path.name))


def _clear(path: Path, dead: Holder | None) -> bool:
    """Take the word of a dead holder away; False where another was quicker, and holds the folder now."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.rename(aside)
    except OSError:
        return not path.exists()
    try:
        text = aside.read_text(encoding="utf-8", errors="replace")
        if dead is None or dead.token in text:
            return True
        with suppress(OSError):
            os.link(aside, path)  # it was another's, who has come in between
        return False
    finally:
        with suppress(OSError):
            aside.unlink()


def _is_dead(path: Path, holder: Holder | None) -> bool:
    """Tell whether a holder that has not given back its folder is gone."""
    if holder is not None and holder.host == socket.gethostname():
        if holder.process == os.getpid():
            return holder.token not in _held
        if os.name == "nt" or not is_alive(holder.process):  # on Windows the lock itself is proof enough
            return True
    return _age(path) > STALE_SECONDS


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine lives."""
    if process <= 0:  # none: these mean groups of processes, and all
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _age(path: Path) -> float:
    """Return for how many seconds a file was not touched, by the clock of the disk that holds it."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with suppress(OSError):
            probe.unlink()


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(TOUCH_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _cannot_write(folder: Path, error: OSError) -> RunError:
    ask = f", or ask {owner_of(folder)} for the right to" if isinstance(error, PermissionError) else ""
    return RunError(f"cannot write in {folder}: {error.strerror}; choose a folder you may write to{ask}")


class _TakenError(RunError):
    """A folder that another glomseg holds, which may end; `who` says which one."""

    who = ""


def _taken(folder: Path, holder: Holder | None) -> _TakenError:
    if holder is None:
        gone = f"it has not said who it is, and counts as gone {STALE_SECONDS / 60:.0f} minutes after it was last seen"
        who = f"another glomseg is working in {folder} ({gone})"
    else:
        who = f"another glomseg is working in {folder}: {holder}"
    error = _TakenError(f"{who}; wait for it, or stop it")
    error.who = who
    return error


def who() -> str:
    """Say who works here, and on which computer."""
    return f"{_person()} on {socket.gethostname()}"


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"

"""New data in a folder: taken once by content, never half-copied, never lost."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materia.data import inbox
from materia.data.inbox import Arrival, Look, look, move_done, move_failed
from materia.errors import DataError, NotFoundError

SETTLE_S = 3600.0  # nobody waits for it: the clock of these tests is a function


def quietly(done: float, total: float | None, message: str) -> None:
    pass


def looked(
    folder: Path,
    ledger: Any = frozenset(),
    meanwhile: Callable[[], object] = lambda: None,
    progress: inbox.Progress = quietly,
) -> Look:
    """Look while something else happens during the settle time."""

    def pause(duration_s: float) -> None:
        assert duration_s == SETTLE_S
        meanwhile()

    return look(folder, ledger, settle_s=SETTLE_S, pause=pause, progress=progress)


def names(arrivals: list[Arrival]) -> list[str]:
    return [arrival.name for arrival in arrivals]


def drop(folder: Path, name: str, text: str = "a,b\n1,2\n") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def content(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its text."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_new_content_is_found_with_its_digest(tmp_path: Path) -> None:
    drop(tmp_path, "b.csv", "two")
    drop(tmp_path, "a.CSV", "one")
    found = looked(tmp_path)
    assert names(found.new) == ["a.CSV", "b.csv"]
    assert [arrival.sha256 for arrival in found.new] == [sha256("one"), sha256("two")]
    assert found == Look(new=found.new)


def test_what_the_ledger_holds_is_not_new_under_any_name(tmp_path: Path) -> None:
    drop(tmp_path, "again.csv", "old")
    drop(tmp_path, "orders.csv", "new")
    for ledger in ({sha256("old")}, {sha256("old"): "done"}):
        found = looked(tmp_path, ledger)
        assert (names(found.new), names(found.known)) == (["orders.csv"], ["again.csv"])


def test_a_known_name_with_new_content_is_new(tmp_path: Path) -> None:
    drop(tmp_path, "orders.csv", "monday")
    ledger = {looked(tmp_path).new[0].sha256}
    drop(tmp_path, "orders.csv", "tuesday")
    assert names(looked(tmp_path, ledger).new) == ["orders.csv"]


def test_the_same_content_twice_is_taken_once(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv")
    drop(tmp_path, "b.csv")
    found = looked(tmp_path)
    assert (names(found.new), names(found.doubles)) == (["a.csv"], ["b.csv"])
    again = looked(tmp_path, {found.new[0].sha256})
    assert (names(again.known), again.doubles) == (["a.csv", "b.csv"], [])


def appended(path: Path) -> None:
    with path.open("a") as file:
        file.write("3,4\n")


def touched_back(path: Path) -> None:
    """Change the content but neither size nor time of change, as some copying programs do."""
    before = path.stat()
    path.write_text(path.read_text().swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    drop(path.parent, "other", path.read_text()).replace(path)


@pytest.mark.parametrize("change", [appended, touched_back, replaced, Path.touch])
def test_a_file_that_changes_while_it_is_watched_waits(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    drop(tmp_path, "whole.csv", "whole")
    growing = drop(tmp_path, "grows.csv")
    found = looked(tmp_path, meanwhile=lambda: change(growing))
    assert (found.growing, names(found.new)) == (["grows.csv"], ["whole.csv"])
    assert names(looked(tmp_path).new) == ["grows.csv", "whole.csv"]


def test_a_file_that_comes_or_goes_while_others_are_watched_waits(tmp_path: Path) -> None:
    gone = drop(tmp_path, "gone.csv")

    def meanwhile() -> None:
        gone.unlink()
        drop(tmp_path, "fresh.csv")

    assert looked(tmp_path, meanwhile=meanwhile) == Look(growing=["fresh.csv"])


def test_a_file_that_changes_while_it_is_read_waits(tmp_path: Path) -> None:
    path = drop(tmp_path, "grows.csv")
    found = looked(tmp_path, progress=lambda *_: appended(path))
    assert found == Look(growing=["grows.csv"])


def test_only_regular_files_are_taken(tmp_path: Path) -> None:
    secret = drop(tmp_path, "secret.txt", "root:x:0:0")
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "link.csv").symlink_to(secret)
    (folder / "nowhere.csv").symlink_to(tmp_path / "missing")
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    (folder / "done").mkdir()
    for name in ("done/old.csv", ".hidden.csv", "notes.txt", "orders.csv.part", "fine.csv"):
        drop(folder, name, name)
    found = looked(folder)
    assert names(found.new) == ["fine.csv"]
    odd = ["folder.csv", "link.csv", "nowhere.csv", "pipe.csv"]
    assert found.refused == dict.fromkeys(odd, "is not a regular file")
    assert found.known == found.doubles == [] and found.growing == []


def test_a_file_that_becomes_a_link_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    secret = drop(tmp_path, "secret.txt")
    folder = tmp_path / "new"
    folder.mkdir()
    first, link, pipe = (drop(folder, name, name) for name in ("0.csv", "link.csv", "pipe.csv"))

    def swap(*_: object) -> None:
        if not link.is_symlink():
            link.unlink()
            link.symlink_to(secret)
            pipe.unlink()
            os.mkfifo(pipe)

    found = looked(folder, progress=swap)
    assert names(found.new) == [first.name]
    assert (list(found.refused), found.growing) == (["link.csv"], ["pipe.csv"])


def test_names_that_cannot_be_written_down_are_refused(tmp_path: Path) -> None:
    for name in (b"\xff.csv", b"new\nline.csv", b"n" * 201 + b".csv"):
        (tmp_path / os.fsdecode(name)).write_text("x")
    drop(tmp_path, "größe 2.csv")
    found = looked(tmp_path)
    assert names(found.new) == ["größe 2.csv"]
    assert len(found.refused) == 3
    "".join(found.refused).encode()  # all of it can be stored


def test_an_empty_folder_is_not_waited_for(tmp_path: Path) -> None:
    def fail(duration_s: float) -> None:
        raise AssertionError("waited for nothing")

    (tmp_path / "done").mkdir()
    assert look(tmp_path, (), settle_s=1.0, pause=fail, progress=quietly) == Look()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no folder .*missing"):
        looked(tmp_path / "missing")
    with pytest.raises(DataError, match="Not a directory"):
        looked(drop(tmp_path, "file"))


def test_reading_reports_bytes_and_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BLOCK_BYTES", 10)
    drop(tmp_path, "a.csv", "x" * 25)
    drop(tmp_path, "b.csv", "y" * 5)
    calls: list[Any] = []
    looked(tmp_path, progress=lambda *call: calls.append(call[:2]))
    assert calls == [(10, 30), (20, 30), (25, 30), (30, 30)]

    def cancel(*_: object) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        looked(tmp_path, progress=cancel)


def test_done_files_move(tmp_path: Path) -> None:
    drop(tmp_path, "orders.csv", "text")
    [arrival] = looked(tmp_path).new
    assert move_done(tmp_path, arrival) == tmp_path / "done" / "orders.csv"
    assert content(tmp_path) == {"done/orders.csv": "text"}
    assert looked(tmp_path) == Look()


def test_failed_files_move_with_the_reason(tmp_path: Path) -> None:
    drop(tmp_path, "orders.csv", "text")
    [arrival] = looked(tmp_path).new
    assert move_failed(tmp_path, arrival, "line 3: größer") == tmp_path / "failed" / "orders.csv"
    assert content(tmp_path) == {
        "failed/orders.csv": "text",
        "failed/orders.csv.reason.txt": "line 3: größer\n",
    }


@pytest.mark.parametrize("name", ["orders.csv", "ORDERS.CSV", "a.b.csv", "-1.csv"])
def test_names_that_are_taken_get_a_number(name: str, tmp_path: Path) -> None:
    stem, suffix = name[:-4], name[-4:]
    for day in ("mon", "tue", "wed"):
        drop(tmp_path, name, day)
        move_failed(tmp_path, looked(tmp_path).new[0], f"bad {day}")
    for ending, day in (("", "mon"), ("-1", "tue"), ("-2", "wed")):
        path = tmp_path / "failed" / f"{stem}{ending}{suffix}"
        assert path.read_text() == day
        assert path.with_name(f"{path.name}.reason.txt").read_text() == f"bad {day}\n"
    assert len(content(tmp_path)) == 6


@pytest.mark.parametrize("change", [appended, touched_back, replaced, Path.unlink])
def test_another_file_of_the_name_is_left_alone(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = drop(tmp_path, "orders.csv")
    [arrival] = looked(tmp_path).new
    change(path)
    before = content(tmp_path)
    assert move_done(tmp_path, arrival) is None
    assert move_failed(tmp_path, arrival, "bad") is None
    assert content(tmp_path) == before


def test_a_name_that_comes_anew_during_a_move_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(tmp_path, "orders.csv", "monday")
    [arrival] = looked(tmp_path).new
    link = os.link

    def link_and_replace(*args: Any, **kwargs: Any) -> None:
        link(*args, **kwargs)
        drop(tmp_path, "next", "tuesday").replace(path)

    monkeypatch.setattr(os, "link", link_and_replace)
    move_done(tmp_path, arrival)
    assert content(tmp_path) == {"done/orders.csv": "monday", "orders.csv": "tuesday"}


def test_a_name_taken_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "orders.csv", "mine")
    [arrival] = looked(tmp_path).new
    link = os.link

    def take_and_link(source: Path, target: Path, **kwargs: Any) -> None:
        if target.name == "orders.csv":
            drop(target.parent, target.name, "theirs")
        link(source, target, **kwargs)

    monkeypatch.setattr(os, "link", take_and_link)
    assert move_done(tmp_path, arrival) == tmp_path / "done" / "orders-1.csv"
    assert content(tmp_path) == {"done/orders.csv": "theirs", "done/orders-1.csv": "mine"}


def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for text in ("one", "two"):
        drop(tmp_path, "orders.csv", text)
        move_done(tmp_path, looked(tmp_path).new[0])
    assert content(tmp_path) == {"done/orders.csv": "one", "done/orders-1.csv": "two"}


def test_nothing_leaves_the_folder_through_a_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "new", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "done").symlink_to(elsewhere)
    drop(folder, "orders.csv")
    with pytest.raises(DataError, match="is a link"):
        move_done(folder, looked(folder).new[0])
    assert list(elsewhere.iterdir()) == [] and (folder / "orders.csv").exists()


@pytest.mark.parametrize(
    "name", ["../secret.csv", "/etc/passwd", "a/b.csv", "..", "", "a\0.csv", ".csv"]
)
def test_an_arrival_names_a_file_in_the_folder(name: str, tmp_path: Path) -> None:
    drop(tmp_path, "secret.csv")
    folder = tmp_path / "new"
    folder.mkdir()
    status = (tmp_path / "secret.csv").stat()
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with pytest.raises(DataError, match="no name of a file"):
        move_done(folder, Arrival(name, "0" * 64, stamp))
    assert (tmp_path / "secret.csv").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    drop(tmp_path, "orders.csv")
    [arrival] = looked(tmp_path).new
    drop(tmp_path, "done", "a file of this name")
    with pytest.raises(DataError, match=r"cannot use the folder .*done"):
        move_done(tmp_path, arrival)
    assert (tmp_path / "orders.csv").exists()


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from materia.data import inbox

folder, step, n_steps = Path(sys.argv[1]), int(sys.argv[2]), 0

def die_before(event, args):
    global n_steps
    steps = {"os.link", "os.rename", "os.remove", "os.mkdir", "open"}
    if event in steps and str(folder) in str(args):
        n_steps += 1
        if n_steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

found = inbox.look(folder, (), settle_s=0, pause=lambda s: None, progress=lambda *a: None)
arrivals = found.new
sys.addaudithook(die_before)
inbox.move_failed(folder, arrivals[0], "bad row")
inbox.move_done(folder, arrivals[1])
"""


def test_nothing_is_lost_by_a_kill_before_any_step(tmp_path: Path) -> None:
    step, is_killed = 0, True
    while is_killed:
        step += 1
        folder = tmp_path / str(step)
        (folder / "done").mkdir(parents=True)
        drop(folder, "done/b.csv", "older")
        drop(folder, "a.csv", "bad")
        drop(folder, "b.csv", "good")
        ran = subprocess.run([sys.executable, "-c", KILLED_AT, str(folder), str(step)])
        is_killed = ran.returncode == -9
        assert {"bad", "good", "older"} <= set(content(folder).values())
        finish(folder)
        assert content(folder) == {
            "done/b.csv": "older",
            "done/b-1.csv": "good",
            "failed/a.csv": "bad",
            "failed/a.csv.reason.txt": "bad row\n",
        }
    assert ran.returncode == 0
    assert step > 10


def finish(folder: Path) -> None:
    """Do as the next look does, from the ledger."""
    ledger = {sha256("bad"): "failed", sha256("good"): "done"}
    found = looked(folder, ledger)
    assert found.new == []
    for arrival in found.known:
        if ledger[arrival.sha256] == "failed":
            assert move_failed(folder, arrival, "bad row")
        else:
            assert move_done(folder, arrival)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a.csv", "b.csv", "a-1.csv"]), st.sampled_from("xyz")),
        max_size=8,
    )
)
def test_every_content_is_taken_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, drops: list[tuple[str, str]]
) -> None:
    """Whatever is dropped between hourly looks."""
    folder, ledger = tmp_path_factory.mktemp("new"), {}
    taken: list[str] = []
    for name, text in drops:
        drop(folder, name, text)
        found = looked(folder, ledger)
        for arrival in (*found.new, *found.known):
            if arrival.sha256 not in ledger:
                taken.append((folder / arrival.name).read_text())
                ledger[arrival.sha256] = "done"
            assert move_done(folder, arrival)
    assert sorted(taken) == sorted({text for _, text in drops})
    moved = content(folder)
    assert all(name.startswith("done/") for name in moved)
    assert sorted(moved.values()) == sorted(text for _, text in drops)

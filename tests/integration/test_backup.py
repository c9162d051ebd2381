"""Backup and restore: what was kept comes back, onto either database, or nothing is touched."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from campaigns_under_test import branin_currin
from fixtures import only_sqlite
from materia import cli, settings
from materia.services import backup, campaigns, execution, schedules
from materia.services.execution import Claimant
from materia.services.submission import NewJob, submit
from materia.store import migrate
from materia.store.database import Database
from materia.store.tables import metadata

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of another database, empty and without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'restored' / 'materia.db'}"
    return str(request.getfixturevalue("postgres_server").create_database())


@pytest.fixture
def populated(backends: dict[str, str]) -> settings.Settings:
    """Put a campaign, jobs with results, schedules, files and secrets into an installation."""
    schedules.ensure_configured()
    campaigns.run(branin_currin())
    job_id = submit(NewJob("tasks.simple_tasks.ping"))["id"]
    claimed = execution.claim(job_id, Claimant(boot="b", worker="w"))
    execution.run(claimed, lambda: {"text": "µ", "n": 0.1}, (), {}, KeyboardInterrupt)
    config = settings.current()
    for name, text in {
        "files/a/table.csv": "x\n1\n",
        "secrets/api_key": "k",
        "logs/l": "x",
    }.items():
        path = config.data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (config.data_dir / "files" / "link").symlink_to("/etc/passwd")
    return config


def everything(url: str) -> Rows:
    """Return all rows but those of processes that are gone."""
    database = Database(url)
    found: Rows = {}
    with database.read() as connection:
        for table in metadata.sorted_tables:
            if table.name not in backup.PASSING:
                query = select(table).order_by(*table.primary_key.columns)
                found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    database.close()
    return found


def restored(archive: Path, data_dir: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MATERIA_DATABASE_URL", url)
    command = ["restore", str(archive), "--data-dir", str(data_dir)]
    return CliRunner().invoke(cli.app, command)


def test_a_backup_comes_back_on_an_empty_folder_and_database(
    populated: settings.Settings, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "lab.tar.gz"
    told = CliRunner().invoke(cli.app, ["backup", str(archive)])
    assert told.exit_code == 0, told.output
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert CliRunner().invoke(cli.app, ["backup", str(archive)]).exit_code == 1

    new = tmp_path / "restored"
    before = everything(populated.database)
    told = restored(archive, new, empty_url, monkeypatch)
    assert told.exit_code == 0, (told.output, told.exception)
    assert everything(empty_url) == before
    assert before["jobs"]
    assert before["campaigns"]
    assert before["schedules"]
    assert (new / "files" / "a" / "table.csv").read_text() == "x\n1\n"
    assert (new / "secrets" / "api_key").read_text() == "k"
    assert sorted(path.name for path in new.iterdir() if path.is_dir()) == ["files", "secrets"]
    assert not (new / "files" / "link").is_symlink()
    assert migrate.versions(empty_url)[0] == migrate.versions(empty_url)[1]

    again = restored(archive, new, empty_url, monkeypatch)
    assert again.exit_code == 1
    assert "not empty" in str(again.exception)


only_into_sqlite = pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)


def foreign(_: bytes) -> bytes:
    return b"not an archive"


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def leading_elsewhere(whole: bytes) -> bytes:
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(whole)) as given,
        tarfile.open(fileobj=out, mode="w") as tar,
    ):
        for member in given:
            tar.addfile(member, given.extractfile(member))
        member = tarfile.TarInfo("files/../../../escaped")
        tar.addfile(member)
    return out.getvalue()


def of_the_future(whole: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        text = b'{"format": 1, "version": "9.0", "schema": "9999"}'
        member = tarfile.TarInfo(backup.MANIFEST)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return out.getvalue()


@only_sqlite
@only_into_sqlite
@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (foreign, "cannot be read"),
        (cut, "cannot be read"),
        (leading_elsewhere, "cannot be read"),
        (of_the_future, "restore it with that version"),
    ],
)
def test_a_spoilt_archive_is_refused_and_leaves_no_rows(
    populated: settings.Settings,
    empty_url: str,
    tmp_path: Path,
    spoil: Callable[[bytes], bytes],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = io.BytesIO()
    backup.save(populated.database, populated.data_dir, whole)
    archive = tmp_path / "spoilt.tar.gz"
    archive.write_bytes(spoil(whole.getvalue()))
    told = restored(archive, tmp_path / "restored", empty_url, monkeypatch)
    assert told.exit_code == 1
    assert named in str(told.exception)
    assert not (tmp_path / "escaped").exists()
    if (tmp_path / "restored" / "materia.db").exists():
        assert everything(empty_url)["jobs"] == []

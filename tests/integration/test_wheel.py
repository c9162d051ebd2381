"""The wheel, installed where nothing else is: it has what it needs, and a campaign runs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from campaigns_under_test import branin_currin
from servers import wait_until
from stacks import Stack

ROOT = Path(__file__).parents[2]
PARTS = ("*.py", "*.typed", "*.html", "*.css", "*.js", "*.svg", "*.yaml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel out of a copy of what git knows, as a release is."""
    source = tmp_path_factory.mktemp("source")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    subprocess.run(
        f"tar --create --null --files-from=- | tar --extract --directory '{source}'",
        shell=True,
        cwd=ROOT,
        input=names,
        check=True,
    )
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (found,) = (source / "dist").glob("materia-*.whl")
    return found


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("materia/")}
        others = {name.split("/")[0] for name in archive.namelist()} - {"materia"}
    package = ROOT / "src" / "materia"
    expected = {
        f"materia/{path.relative_to(package)}" for part in PARTS for path in package.rglob(part)
    }
    assert packed == expected
    assert {"materia/py.typed", "materia/api/static/index.html"} <= packed
    assert any(name.startswith("materia/store/migrations/versions/r0001") for name in packed)
    assert any(name.startswith("materia/mdl/templates/") for name in packed)
    assert [name.rsplit(".", 1)[1] for name in others] == ["dist-info"]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, with the locked versions of what it depends on and no extra, by hashes."""
    venv = tmp_path_factory.mktemp("venv")
    uv = str(Path(sys.executable).with_name("uv"))
    run = {"check": True, "capture_output": True, "text": True}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], **run)
    into = ["--python", str(venv), "--link-mode", "hardlink"]
    names = subprocess.run(
        # What is needed is looked up among the installed packages, so that no index is asked.
        [sys.executable, "-c", NEEDED],
        **run,
    ).stdout.split()
    copied = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    subprocess.run([sys.executable, "-c", COPY, str(copied), *names], **run)
    subprocess.run([uv, "pip", "install", *into, "--no-deps", "--offline", str(wheel)], **run)
    return venv


# The distributions that the package needs without extras, and theirs.
NEEDED = """
from importlib.metadata import distribution, PackageNotFoundError
from packaging.requirements import Requirement
seen, waiting = set(), [Requirement("materia")]
while waiting:
    requirement = waiting.pop()
    for extra in requirement.extras or {""}:
        if (requirement.name, extra) in seen:
            continue
        seen.add((requirement.name, extra))
        for text in distribution(requirement.name).requires or ():
            inner = Requirement(text)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                waiting.append(inner)
print(*sorted({name for name, _ in seen} - {"materia"}))
"""

COPY = """
import os, shutil, sys
from importlib.metadata import distribution
from pathlib import Path
target = Path(sys.argv[1])
for name in sys.argv[2:]:
    for file in distribution(name).files or ():
        source = Path(file.locate())
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue
        at = target / file
        at.parent.mkdir(parents=True, exist_ok=True)
        if not at.exists():
            try:
                os.link(source, at)
            except OSError:
                shutil.copy2(source, at)
"""


def test_an_installed_wheel_runs_a_campaign(installed: Path, tmp_path: Path) -> None:
    program = installed / "bin" / "materia"
    stack = Stack(tmp_path / "data", program=program, env={"PYTHONPATH": "", "PATH": os.defpath})
    stack.start()
    try:
        found = stack.state()
        headers = {"Authorization": f"Bearer {found['api_key']}"}
        with httpx.Client(base_url=f"{found['api_url']}/api/v1", headers=headers) as client:
            small = branin_currin(optimizer={"budget": 10, "batch_size": 4})
            sent = client.post("/campaigns/run", json=small)
            assert sent.status_code == 202, sent.text
            path = f"/campaigns/{sent.json()['campaign_id']}"
            wait_until(lambda: client.get(path).json()["state"] == "completed", "it is completed")
            assert client.get(path).json()["evaluations_completed"] == 10
            assert client.get(str(stack.state()["api_url"])).status_code in (200, 307)
    finally:
        stack.stop()
    listed = subprocess.run(
        [installed / "bin" / "python", "-c", "import materia; print(materia.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert str(installed) in listed.stdout

"""What the dashboard is made of: safe to serve to anybody, complete, and closed in itself."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import SecretStr

from materia.api.app import create_app
from materia.api.routes import dashboard
from materia.settings import Settings
from serving import in_process

ROOT = Path(__file__).parents[2]
ASSETS = dashboard.assets()
SCRIPTS = {path: asset for path, asset in ASSETS.items() if path.endswith(".js")}
MAX_LINES = 250


def _client():
    return in_process(create_app(Settings(api_key=SecretStr("a key"))))


@pytest.mark.parametrize("path", ASSETS)
def test_a_file_of_the_page_needs_no_key_and_carries_the_policy(path: str) -> None:
    answer = _client().get(path)
    assert answer.status_code == 200
    suffix = "." + path.rpartition(".")[2] if path != "/" else ".html"
    assert answer.headers["content-type"] == dashboard.MEDIA_TYPES[suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(policy)


def test_data_needs_the_key() -> None:
    client = _client()
    assert client.get("/").status_code == 200
    for path in ("/api/v1/campaigns", "/api/v1/jobs", "/static/", "/static/nothing.js"):
        assert client.get(path).status_code == 401, path


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2froutes%2fdashboard.py",
        "/static/%2e%2e/app.py",
        "/static/%2e%2e%2f%2e%2e%2fsettings.py",
        "/static//etc/passwd",
        "/static/..%5capp.py",
        "/static/style.css%00.js",
        "/static/index.html",
        "/static/style.css/",
    ],
)
def test_only_files_of_the_page_have_a_path(path: str) -> None:
    answer = _client().get(path, headers={"Authorization": "Bearer a key"})
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_a_file_that_is_known_is_not_sent_again() -> None:
    client = _client()
    tag = client.get("/static/app.js").headers["etag"]
    again = client.get("/static/app.js", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/app.js", headers={"If-None-Match": '"old"'}).status_code == 200


class _Inline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.used: list[str] = []
        self._in: str = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in = tag
        self.found += [name for name in given if name.startswith("on") or name == "style"]
        self.used += [str(given[name]) for name in ("src", "href") if name in given]

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.found.append(data)


def test_the_page_has_no_inline_script_or_style_and_uses_only_what_is_served() -> None:
    parser = _Inline()
    parser.feed(ASSETS["/"].content.decode())
    assert parser.found == []
    files = {path for path in parser.used if not path.startswith("#")} - {"/docs"}
    assert files
    assert files <= ASSETS.keys()


@pytest.mark.parametrize("path", ASSETS)
def test_no_file_names_another_host(path: str) -> None:
    text = ASSETS[path].content.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"//[A-Za-z0-9]|@import|url\(", text)


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_script_makes_no_markup_from_text_and_stays_small(path: str) -> None:
    text = SCRIPTS[path].content.decode()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    )
    assert not re.search(forbidden, text)
    assert text.count("\n") < MAX_LINES
    imported = re.findall(r'from "\./([a-z_]+\.js)"', text)
    assert {f"/static/{name}" for name in imported} <= SCRIPTS.keys()


def test_the_wheel_contains_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    folder = ROOT / "src/materia/api/static"
    assert {f"materia/api/static/{file.name}" for file in folder.iterdir()} <= names

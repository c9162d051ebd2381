"""What the README shows is run as a reader would run it."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from materia import settings
from materia.mdl import check
from stacks import Stack, materia

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def coating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the README's definition."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "coating.yaml"
    path.write_text(blocks("yaml")[0])
    return path


def test_the_definition_has_no_findings(coating: Path) -> None:
    definition, findings = check(coating.read_text())
    assert definition is not None
    assert findings == []


def test_the_library_example_runs(coating: Path) -> None:
    found: dict[str, Any] = {}
    exec(blocks("python")[0], found)  # noqa: S102 - the README is ours
    campaign = found["campaign"]
    assert len(campaign.dump()["candidates"]) == 4
    assert campaign.best()["outcomes"]["resistance"] in (160.0, 250.0)


def test_the_commands_and_the_clients_run_and_ask_the_same_candidates(coating: Path) -> None:
    folder = coating.parent
    local = materia("run", coating, "--output", folder / "local", timeout_s=300)
    assert local.returncode == 0, local.stderr
    stack = Stack(folder / "materia-data", n_workers=2)
    stack.start()
    try:
        state = stack.state()
        text = blocks("python")[1].replace(
            "redis://:PASSWORD@127.0.0.1:PORT/0", state["broker_url"]
        )
        text = text.replace("redis://:PASSWORD@127.0.0.1:PORT/1", state["result_backend"])
        settings.current.cache_clear()
        found: dict[str, Any] = {}
        with redirect_stdout(io.StringIO()) as printed:
            exec(text, found)  # noqa: S102 - the README is ours
        assert "campaign_state_changed" in printed.getvalue()
        client, campaign_id = found["client"], found["started"]["campaign_id"]
        assert client.campaigns.get(campaign_id)["state"] == "completed"
        on_workers = [c["params"] for c in client.campaigns.candidates(campaign_id)]
        client.close()
        found["app"].close()
    finally:
        stack.stop()
    saved = json.loads(next((folder / "local").glob("*.json")).read_text())
    in_process = [c["params"] for c in saved["campaign"]["candidates"]]
    assert on_workers == in_process

"""Models, datasets, schedules and health in the dashboard: a real browser on a real stack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from stack_api import Api

from materia.client import Client
from stacks import Stack

MARKUP = "<img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def table() -> bytes:
    """Return a table with a heading that is markup."""
    rng = np.random.default_rng(3)
    carbon, heat = rng.uniform(0, 1, 150), rng.uniform(900, 1100, 150)
    rows = (
        f"{'A' if i % 2 else 'B'},{c:.4f},{t:.1f},{40 * c + t / 100:.4f}"
        for i, (c, t) in enumerate(zip(carbon, heat, strict=True))
    )
    return f'"{MARKUP}",carbon,heat,strength\n'.encode() + "\n".join(rows).encode() + b"\nshort\n"


@pytest.fixture(scope="module")
def client(stack: Stack) -> Client:
    """Return the SDK on the stack."""
    return Client.local(stack.data_dir)


def visit(page: Browser, api: Api, place: str, title: str) -> None:
    """Go to a page of the dashboard; returns when it is there."""
    page.open(f"{api.url}/#/{place}")
    page.wait_text(title, "h1")


def give(page: Browser, name: str, content: bytes) -> None:
    """Choose a file in the form, as a person does."""
    page.run(
        "(() => { const given = new DataTransfer();"
        f"given.items.add(new File([new Uint8Array({list(content)})], {json.dumps(name)}));"
        "const field = document.querySelector('#file'); field.files = given.files;"
        "field.dispatchEvent(new Event('change')); })()"
    )


def test_a_table_is_sent_and_looked_at(
    page: Browser, api: Api, table: bytes, pictures: Path
) -> None:
    visit(page, api, "datasets", "Datasets")
    page.wait_text("No dataset yet")
    page.screenshot(pictures / "no-datasets.png")
    give(page, "steel.csv", b"1,2\n3,4\n")
    page.click(".upload button")
    page.wait_text("'steel.csv' has no header", ".upload")
    give(page, "steel.csv", table)
    page.run("document.querySelector('#path').value = '2026/steel.csv'")
    page.click(".upload button")
    page.wait_text("2026/steel.csv", "h1")
    assert "150" in page.text(".facts")
    assert "strength (regression)" in page.text(".facts")
    rows = page.run("[...document.querySelectorAll('tbody tr')].map(row => row.innerText)")
    assert [row.split("\t")[1:] for row in rows] == [
        [MARKUP, "text", "0", "feature"],
        ["carbon", "number", "0", "feature"],
        ["heat", "number", "0", "feature"],
        ["strength", "number", "0", "target"],
    ]
    page.screenshot(pictures / "dataset.png")
    page.click(".trail a")
    page.wait_text("2026/steel.csv", "tbody")
    assert page.run("window.hit") is None
    assert [line for line in page.console if "422" not in line] == []


def test_a_model_is_found_with_its_importances_and_versions(
    page: Browser, api: Api, client: Client, table: bytes, tmp_path: Path, pictures: Path
) -> None:
    visit(page, api, "models", "Models")
    page.wait_text("No model yet")
    page.wait_text("stock_predictor")
    (tmp_path / "steel.csv").write_bytes(table.replace(b"\nshort", b""))
    client.datasets.upload(tmp_path / "steel.csv")
    config = {"target": "strength", "n_estimators": 10, "num_partitions": 2}
    client.retrainings.create("steel", "steel.csv", config)
    visit(page, api, "retrainings/steel", "steel")
    page.wait_text("It has not been trained yet")
    visit(page, api, "models", "Models")
    page.wait("document.querySelector('[aria-label=\"Train steel now\"]')", "its button")
    page.click('[aria-label="Train steel now"]')
    page.wait_text("ml_tasks.retrain_model", "h1")
    page.wait_text("succeeded", ".chip")
    again = client.models.train("steel.csv", {**config, "name": "steel", "seed": 7})
    other = client.jobs.result(again["task_id"], timeout_s=120)["model_id"]
    champion = client.retrainings.get("steel")["champion_id"]

    visit(page, api, "retrainings/steel", "steel")
    page.wait_text("promoted", "tbody")
    page.click(f"a[href='#/models/{champion}']")
    page.wait_text("in use", ".head .chip")
    assert page.run("document.querySelectorAll('tbody progress').length") == 3
    first = page.run("document.querySelector('tbody tr').innerText")
    assert first.startswith("carbon")
    page.wait_text("Versions of steel")
    assert other in page.text()
    page.screenshot(pictures / "model.png", whole=True)
    page.click(".head .danger")
    page.click("dialog .danger")
    page.wait_text("is the one in use for 'steel'", ".box.bad")
    page.click(f"a[href='#/models/{other}']")
    page.wait_text(other, ".trail")
    page.click(".head .danger")
    page.click("dialog .danger")
    page.wait_text("Trained again", "h2")
    page.wait_text(champion, "tbody")
    assert other not in page.text("tbody")
    assert [line for line in page.console if "409" not in line] == []


def test_a_schedule_is_paused_resumed_and_run(
    page: Browser, api: Api, client: Client, pictures: Path
) -> None:
    client.schedules.create("sign-of-life", "tasks.simple_tasks.ping", interval_s=86_400)
    visit(page, api, "schedules", "Schedules")
    page.wait_text("sign-of-life", "tbody")
    assert "hourly-data-processing" in page.text("tbody")
    page.screenshot(pictures / "schedules.png")
    page.run("document.querySelector('[aria-label=\"pause sign-of-life\"]').focus()")
    page.press("Enter")
    page.wait("document.querySelector('[aria-label=\"resume sign-of-life\"]')", "it is paused")
    assert client.schedules.get("sign-of-life")["is_paused"]
    page.click('[aria-label="resume sign-of-life"]')
    page.wait("document.querySelector('[aria-label=\"pause sign-of-life\"]')", "it goes on")
    page.click('[aria-label="Run sign-of-life now"]')
    page.wait_text("simple_tasks.ping", "h1")
    page.wait_text("succeeded", ".chip")
    visit(page, api, "schedules/sign-of-life", "sign-of-life")
    assert "every 1 d" in page.text(".facts")
    job_id = client.schedules.runs("sign-of-life")["items"][0]["job_id"]
    page.wait_text(job_id, "tbody")
    assert page.console == []


def test_health_shows_every_part_queue_and_worker(
    page: Browser, api: Api, client: Client, pictures: Path
) -> None:
    client.jobs.result(client.schedules.run("cluster-health-check")["task_id"], timeout_s=120)
    visit(page, api, "health", "Health")
    page.wait("document.querySelectorAll('table').length >= 3", "the tables")
    found = client.health()
    page.wait_text(found["status"], ".head .chip")
    shown = page.text("main")
    for part in ("Database", "Broker (Redis)", "Scheduler", "Workers", "Ray cluster", "Disk"):
        assert part in shown
    for queue in found["parts"]["workers"]["queues"]:
        assert queue in page.text("main")
    page.wait_text("answered after")
    for worker in found["parts"]["workers"]["workers"]:
        assert worker["name"] in shown
    page.screenshot(pictures / "health.png", whole=True)
    page.run("document.documentElement.dataset.theme = 'dark'")
    page.screenshot(pictures / "health-dark.png", whole=True)
    page.run("delete document.documentElement.dataset.theme")
    assert page.console == []


def test_workers_queues_and_what_they_do_are_shown(
    page: Browser, api: Api, client: Client, pictures: Path
) -> None:
    visit(page, api, "workers", "Workers")
    page.wait("document.querySelector('tbody tr')", "the tables")
    (worker,) = client.workers.list(state="online")["items"]
    shown = page.text("main")
    assert worker["name"].split("@")[0] in shown
    assert worker["versions"]["materia"] in shown
    assert "1 alive" in page.text(".head")
    assert "online" in shown
    for queue in client.queues():
        assert queue["queue"] in shown
    page.click("[aria-label=Queues] [data-column=waiting] button")
    page.wait("document.querySelector('[data-column=waiting]').ariaSort", "the order")
    page.screenshot(pictures / "workers.png", whole=True)
    page.run("document.documentElement.dataset.theme = 'dark'")
    page.screenshot(pictures / "workers-dark.png", whole=True)
    page.run("delete document.documentElement.dataset.theme")
    assert page.console == []


def test_every_page_fits_a_phone_and_can_be_reached_with_the_keyboard(
    page: Browser, api: Api, pictures: Path
) -> None:
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=800,
        deviceScaleFactor=1,
        mobile=True,
    )
    try:
        for place in ("models", "datasets", "schedules", "workers", "health"):
            visit(page, api, place, place.capitalize())
            page.wait("document.querySelector('tbody tr')", "its table")
            wide = page.run("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, place
            assert page.text("nav [aria-current]") == place.capitalize()
            page.screenshot(pictures / f"{place}-phone.png")
            page.press("/")
            is_there = page.run("document.activeElement.id === 'filter'")
            assert is_there == (place != "health")
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")

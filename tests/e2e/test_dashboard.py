"""The dashboard as a person uses it: a real browser on a real stack."""

from __future__ import annotations

import json
import os
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from browser import Browser
from stack_api import Api

from stacks import Stack

MARKUP = "<img src=x onerror=window.hit=1><script>window.hit=2</script>"


def campaign(name: str, *, budget: int = 14, delay_s: float = 0.15, **more: Any) -> dict[str, Any]:
    """Return Branin–Currin, slow enough to be looked at."""
    return {
        "name": name,
        "parameters": [
            {"name": "x1", "type": "continuous", "bounds": [0, 1]},
            {"name": "x2", "type": "continuous", "bounds": [0, 1]},
        ],
        "objectives": [
            {"name": "branin", "reference_point": 18},
            {"name": "currin", "reference_point": 6},
        ],
        "evaluator": {
            "type": "function",
            "options": {"name": "branin_currin", "delay_s": delay_s},
        },
        "optimizer": {"budget": budget, "batch_size": 4, "seed": 5},
        **more,
    }


def fact(name: str) -> str:
    """Return the expression of a figure in the head of a campaign's page."""
    found = f"[...document.querySelectorAll('.facts dt')].find(e => e.innerText === {name!r})"
    return f"{found}?.nextSibling.innerText"


def visit(page: Browser, api: Api, campaign_id: str) -> None:
    """Go to a campaign's page; returns when it is there, for another page has tables too."""
    page.open(f"{api.url}/#/campaigns/{campaign_id}")
    page.wait("document.querySelector('.facts dd')", "the campaign's page")


def seen(page: Browser) -> list[list[Any]]:
    """Return what the table of candidates shows: id, front, state."""
    read = (
        "[...document.querySelectorAll('tbody tr')].map(row =>"
        " [row.dataset.key, row.classList.contains('front'), row.lastChild.innerText]).sort()"
    )
    return list(page.run(read))


def expected(api: Api, campaign_id: str) -> list[list[Any]]:
    """Return the same from the API."""
    items = api.get(f"/campaigns/{campaign_id}/candidates?limit=200")["items"]
    return sorted([item["id"], item["is_pareto"], item["state"]] for item in items)


def test_a_stranger_signs_in_and_runs_a_first_campaign(
    shared_browser: Browser, stack: Stack
) -> None:
    page, found = shared_browser, stack.state()
    page.open(found["api_url"])
    page.wait_text("materia status --json")
    page.run("document.querySelector('#key').value = 'wrong'")
    page.click("form button")
    page.wait_text("this is not a key of this server")
    page.run(f"document.querySelector('#key').value = {found['api_key']!r}")
    page.click("form button")
    page.wait_text("No campaign yet")
    assert f"materia run examples/alloy.yaml --server {found['api_url']}" in page.text()

    written = "name: mine\nparamters: []\nobjectives: [{name: <b>y</b>}]\n"
    page.run("window.field = document.querySelector('textarea'); window.example = field.value")
    page.run(f"field.value = {json.dumps(written)}")
    page.click("button[value=Check]")
    page.wait_text("line 2", "#findings")
    assert "did you mean 'parameters'?" in page.text("#findings")
    assert "<b>y</b>" in page.text("#findings")
    page.click("#findings .link")
    marked = "field.value.slice(field.selectionStart, field.selectionEnd)"
    assert page.run(marked) in written.splitlines()

    page.run("field.value = example")
    page.click("button[value=Run]")
    page.wait_text("my-first-campaign", "h1")
    page.wait_text("completed", ".chip")
    assert page.run(fact("Evaluations")) == "40 / 40"
    page.click("nav a")
    page.wait_text("my-first-campaign", "tbody")


def test_a_campaign_is_followed_to_its_end_without_loading_anything_again(
    page: Browser, api: Api, stack: Stack, pictures: Path
) -> None:
    key = stack.state()["api_key"]
    assert key not in page.run("location.href")
    assert page.run("sessionStorage.getItem('materia.key')") == key
    page.run("window.same = true; window.counts = new Set()")
    campaign_id = api.run(campaign("followed", budget=26, delay_s=0.3))
    page.wait_text("followed", "tbody")
    page.click(f"a[href='#/campaigns/{campaign_id}']")
    page.wait("document.querySelector('.facts dd')", "the campaign's page")
    page.wait(f"(counts.add({fact('Evaluations')}), counts.size > 3)", "evaluations are counted")
    page.wait("document.querySelector('.status.live')", "the page is live")
    assert "running" in page.text(".chip")
    page.screenshot(pictures / "running.png")
    page.wait_text("completed", ".chip")
    page.wait("document.querySelectorAll('tbody .front').length", "the front is marked")
    ended = api.get(f"/campaigns/{campaign_id}")
    page.wait(f"{fact('On the front')} === '{ended['pareto_size']}'", "the front is complete")
    assert page.run("window.same"), "the page was loaded again"
    assert seen(page) == expected(api, campaign_id)
    assert page.run(fact("Evaluations")) == "26 / 26"
    n_points = page.run("document.querySelectorAll('figure:first-child .point').length")
    assert n_points == ended["evaluations_completed"]
    assert float(page.run(fact("Hypervolume"))) == float(f"{ended['hypervolume']:.5g}")
    assert page.console == []
    hosts = {url.split("/")[2] for url in page.requests if url.startswith(("http", "ws"))}
    assert hosts == {f"127.0.0.1:{stack.port}"}


# Delivers every third message twice, and of the first connection not the tenth.
UNRELIABLE = """
const Real = WebSocket;
let connections = 0;
window.WebSocket = class extends Real {
  set onmessage(listener) {
    const isFirst = ++connections === 1;
    let n = 0;
    super.onmessage = (message) => {
      n += 1;
      window.taken = n;
      if (isFirst && n === 10) return;
      listener(message);
      if (n % 3 === 0) listener(message);
    };
  }
};
Object.defineProperty(window, "connections", { get: () => connections });
"""


def test_events_lost_and_doubled_on_the_way_leave_no_trace(page: Browser, api: Api) -> None:
    script = page.send("Page.addScriptToEvaluateOnNewDocument", source=UNRELIABLE)
    page.open("about:blank")
    campaign_id = api.run(campaign("unreliable", budget=26, delay_s=0.3))
    visit(page, api, campaign_id)
    page.wait("connections > 1 && taken > 5", "the lost event is noticed and the state read again")
    assert "running" in page.text(".chip"), "the end of the campaign came first"
    lines = page.run("[...document.querySelectorAll('.log span')].map(line => line.innerText)")
    evaluated = [line.split(":")[0] for line in lines if line.startswith("c0")]
    assert sorted(evaluated) == [f"c{number + 1:04}" for number in range(len(evaluated))]
    page.wait_text("completed", ".chip")
    size = api.get(f"/campaigns/{campaign_id}")["pareto_size"]
    page.wait(f"document.querySelectorAll('tbody .front').length === {size}", "the front is there")
    page.send("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    assert seen(page) == expected(api, campaign_id)
    n_events = api.get(f"/campaigns/{campaign_id}")["last_event"]
    assert page.run("document.querySelectorAll('.log li').length") == n_events


def test_after_the_api_restarts_the_page_shows_what_the_server_has(
    page: Browser, api: Api, stack: Stack
) -> None:
    campaign_id = api.run(campaign("restarted", budget=22, delay_s=0.3))
    page.run("window.same = true")
    visit(page, api, campaign_id)
    page.wait("document.querySelector('.status.live')", "the page is live")
    page.wait("document.querySelectorAll('tbody tr').length > 4", "candidates are shown")
    os.kill(stack.pids()["api"], signal.SIGKILL)
    page.wait("document.querySelector('.status.reconnecting')", "the page says so")
    page.wait("document.querySelector('.status.live')", "the page is live again", 60)
    page.wait_text("completed", ".chip", 60)
    page.wait(f"{fact('Evaluations')} === '22 / 22'", "all is there")
    size = api.get(f"/campaigns/{campaign_id}")["pareto_size"]
    page.wait(f"document.querySelectorAll('tbody .front').length === {size}", "the front is there")
    assert page.run("window.same"), "the page was loaded again"
    assert seen(page) == expected(api, campaign_id)
    # Each event once: as many lines as events.
    n_events = api.get(f"/campaigns/{campaign_id}")["last_event"]
    assert page.run("document.querySelectorAll('.log li').length") == min(n_events, 200)


def test_markup_of_a_definition_is_shown_as_text(page: Browser, api: Api) -> None:
    written = campaign("marked", budget=8, delay_s=0, description=MARKUP)
    written["parameters"][0]["unit"] = "<b>mm</b>"
    written["objectives"][0]["unit"] = "<i onclick=hit=3>MPa</i>"
    campaign_id = api.run(written)
    visit(page, api, campaign_id)
    page.wait_text("completed", ".chip")
    assert page.text(".description") == MARKUP
    assert "<b>mm</b>" in page.text("thead")
    assert "<i onclick=hit=3>MPa</i>" in page.text("figure svg") + page.run(
        "document.querySelector('figure svg').textContent"
    )
    assert (
        page.run("document.querySelectorAll('main img, main script, main b, main i').length") == 0
    )
    assert page.run("window.hit") is None
    assert page.console == []


def test_a_broken_outcome_constraint_is_seen_in_chart_table_and_legend(
    page: Browser, api: Api
) -> None:
    limit = "currin <= 8"
    campaign_id = api.run(
        campaign("limited", budget=8, delay_s=0, outcome_constraints=[{"expression": limit}])
    )
    visit(page, api, campaign_id)
    page.wait_text("completed", ".chip")
    items = api.get(f"/campaigns/{campaign_id}/candidates")["items"]
    broken = {item["id"] for item in items if item["breaks"] == [limit]}
    assert broken == {item["id"] for item in items if item["outcomes"]["currin"] > 8}
    assert broken
    page.wait("document.querySelectorAll('tbody tr').length === 8", "all rows")
    rows = "[...document.querySelectorAll('tbody tr.broken')]"
    assert set(page.run(f"{rows}.map(row => row.dataset.key)")) == broken
    assert f"breaks {limit}" in page.text(".legend")
    assert page.run("document.querySelectorAll('figure .point.broken').length") == len(broken)
    assert "seed 5" in page.text(".identity")
    assert campaign_id in page.text(".identity")
    page.open(f"{api.url}/#/zzz")
    page.wait_text("There is no such page", "h1")
    assert page.console == []


def test_everything_can_be_done_from_the_keyboard(page: Browser, api: Api) -> None:
    campaign_id = api.run(campaign("typed", budget=10, delay_s=0))
    visit(page, api, campaign_id)
    page.wait_text("completed", ".chip")
    page.wait("document.querySelectorAll('tbody tr').length === 10", "all rows")
    page.press("/")
    assert page.run("document.activeElement.id") == "filter"
    for key in "c0003":
        page.press(key)
    page.wait("document.querySelectorAll('tbody tr').length === 1", "one row is left")
    page.run("document.querySelector('#filter').value = ''")
    page.run("document.querySelector('#filter').dispatchEvent(new Event('input'))")

    head = "th[data-column=outcome-branin]"
    page.run(f"document.querySelector('{head} button').focus()")
    for direction in ("descending", "ascending"):
        page.press("Enter")
        assert page.run(f"document.querySelector('{head}').ariaSort") == direction
        column = page.run(
            "[...document.querySelectorAll('tbody tr')]"
            ".map(row => Number(row.cells[2].innerText.replace('−', '-')))"
        )
        assert column == sorted(column, reverse=direction == "descending")

    page.run("document.querySelector('figure svg').focus()")
    page.press("End")
    assert "branin" in page.text(".tip")
    page.press("Enter")
    assert page.text("tr.marked td") in page.text(".tip")


def test_a_campaign_is_stopped_after_a_question_and_its_jobs_are_found(
    page: Browser, api: Api
) -> None:
    # So many at once that some wait for a worker when the campaign is stopped.
    design = {"budget": 60, "batch_size": 20, "active_learning": {"initial_samples": 60}}
    campaign_id = api.run(campaign("stopped", delay_s=0.3, optimizer=design))
    visit(page, api, campaign_id)
    page.wait("document.querySelectorAll('tbody tr').length > 5", "it runs")
    page.click(".head .danger")
    page.click("dialog .quiet")
    page.wait("!document.querySelector('dialog')", "the question is gone")
    assert api.get(f"/campaigns/{campaign_id}")["state"] == "running"
    page.click(".head .danger")
    page.click("dialog .danger")
    page.wait_text("stopped", ".chip")
    assert page.run("document.querySelector('.head .danger').hidden")

    page.open(f"{api.url}/#/jobs")
    page.wait_text("Jobs", "h1")
    page.wait_text("evaluate_candidates", "tbody")
    page.run("document.querySelector('select').value = 'CANCELLED'")
    page.run("document.querySelector('select').dispatchEvent(new Event('change'))")
    page.wait(
        "(rows => rows.length && rows.every(row => row.innerText.includes('cancelled')))"
        "([...document.querySelectorAll('tbody tr')])",
        "only cancelled jobs",
    )
    page.click("tbody a")
    page.wait_text("its campaign was stopped")
    assert "Run again" in page.text()
    assert page.console == []


def test_a_path_that_leaves_the_folder_is_refused(stack: Stack) -> None:
    # As written: clients that tidy paths up would never send it.
    for path in ("/static/../app.py", "/static/../../settings.py", "//static/app.js"):
        connection = HTTPConnection("127.0.0.1", stack.port)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 401, path
        assert b"import" not in answer.read()
        connection.close()


def test_the_candidates_of_a_campaign_are_exported_as_a_file(page: Browser, api: Api) -> None:
    campaign_id = api.run(campaign("exported", budget=8, delay_s=0.0))
    page.run(f"location.hash = '#/campaigns/{campaign_id}'")
    page.wait_text("completed", ".chip")
    # A headless browser keeps no file: what it would keep is looked at.
    page.run(
        "window.make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.kept = text; });"
        " return window.make.call(URL, blob); }; document.querySelector('#format').value = 'csv'"
    )
    page.click("#export")
    page.wait("window.kept", "the file has come")
    page.wait_text("8 candidates", "#export-status")
    lines = page.run("window.kept").splitlines()
    assert lines[0].startswith("id,iteration,state,is_front")
    assert [line.partition(",")[0] for line in lines[1:]] == [f"c{i + 1:04d}" for i in range(8)]
    page.run("URL.createObjectURL = window.make")
    assert page.console == []


def test_an_admin_makes_and_revokes_keys_and_others_are_not_shown_them(
    page: Browser, api: Api, pictures: Path
) -> None:
    page.run("location.hash = '#/keys'")
    page.wait_text("No key yet")
    page.run("document.querySelector('#key-name').focus()")
    for letter in "anna":
        page.press(letter)
    page.press("Enter")
    page.wait("document.querySelector('.box.good code')", "the secret is shown")
    secret = page.text(".box.good code")
    page.wait_text("anna", "tbody")
    assert page.run("[...document.querySelectorAll('tbody .chip')].map(e => e.innerText)") == [
        "active"
    ]
    (key,) = api.get("/api-keys")["items"]
    assert (key["scopes"], key["owner"]) == (["write"], "anna")
    assert secret.startswith(key["prefix"])
    page.wait_text(f"/api-keys/{key['id']}", "[aria-label='Who did what'] tbody")
    for theme in ("dark", "light"):
        page.run(f"document.documentElement.dataset.theme = {theme!r}")
        page.screenshot(pictures / f"keys-{theme}.png", whole=True)
    assert page.run("getComputedStyle(document.querySelector('#keys')).display") != "none"

    page.open("about:blank")
    page.open(f"{api.url}/#key={secret}")
    page.wait_text("No campaign yet")
    assert page.run("document.querySelector('#keys').hidden")
    page.run("location.hash = '#/keys'")
    page.wait_text("the key 'anna' has no scope 'admin'")

    page.run(f"sessionStorage.setItem('materia.key', {api.key!r})")
    page.open("about:blank")
    page.open(f"{api.url}/#/keys")
    page.wait("document.querySelector('tbody button')", "the list of keys")
    page.click("tbody button")
    page.wait("document.querySelector('dialog[open]')", "it asks first")
    page.click("dialog .danger")
    page.wait_text("revoked", "tbody .chip")
    assert api.get("/api-keys")["items"][0]["state"] == "revoked"

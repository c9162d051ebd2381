"""What a person does with a campaign on its page, and what it tells of what was learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser import Browser
from stack_api import Api

from servers import wait_until

COATING: dict[str, Any] = {
    "name": "coating",
    "parameters": [
        {"name": "thickness", "type": "continuous", "bounds": [1, 10], "unit": "µm"},
        {"name": "rate", "type": "continuous", "bounds": [0.01, 100], "log_scale": True},
        {"name": "gas", "type": "categorical", "choices": ["argon", "helium"]},
        {
            "name": "alloy",
            "type": "composition",
            "total": 100,
            "parts": [{"name": "Ni"}, {"name": "Cu"}, {"name": "Pt"}],
        },
    ],
    "objectives": [
        {"name": "hardness", "direction": "maximize", "unit": "GPa"},
        {"name": "cost", "unit": "EUR"},
        {"name": "stress"},
    ],
    "constraints": [{"expression": "thickness + 0.1 * rate <= 15"}],
    "evaluator": {
        "type": "expression",
        "options": {
            "hardness": "12 + 4 * log(thickness) - 0.5 * log(rate) ** 2",
            "cost": "2 + 0.8 * thickness + 0.05 * Pt",
            "stress": "log(rate) ** 2 + (Ni - 30) ** 2 / 500",
        },
    },
    "optimizer": {"budget": 24, "batch_size": 8, "seed": 1},
}


def state(page: Browser, wanted: str) -> None:
    page.wait_text(wanted, ".head .chip")


def button(page: Browser, title: str, where: str = ".head") -> None:
    """Click the button of a title."""
    found = f"[...document.querySelectorAll({json.dumps(where + ' button')})]"
    page.run(f"{found}.find(e => e.innerText === {json.dumps(title)} && !e.hidden).click()")


def test_a_campaign_is_paused_extended_cloned_and_deleted_on_its_page(
    page: Browser, api: Api
) -> None:
    simple = {
        "name": "slow",
        "parameters": COATING["parameters"][:1],
        "objectives": [{"name": "y"}],
        "evaluator": {"type": "expression", "options": {"y": "(thickness - 3) ** 2"}},
        "optimizer": {"budget": 400, "batch_size": 1, "seed": 1},
    }
    here = api.run(simple)
    page.open(f"{api.url}/#/campaigns/{here}")
    state(page, "running")
    button(page, "Pause")
    state(page, "paused")
    button(page, "Resume")
    state(page, "running")
    button(page, "Stop")
    page.wait("document.querySelector('dialog[open]')", "it asks first")
    button(page, "Stop campaign", "dialog")
    state(page, "stopped")
    # What runs when a campaign is stopped still finishes, and it cannot be deleted before.
    jobs = f"/jobs?campaign_id={here}&limit=200"
    wait_until(lambda: all(one["finished_at"] for one in api.get(jobs)["items"]), "its jobs end")
    button(page, "Delete")
    page.wait_text("Export them first", "dialog")
    button(page, "Delete campaign", "dialog")
    page.wait("location.hash === '#/campaigns'", "the list of campaigns")
    assert here not in [one["id"] for one in api.get("/campaigns")["items"]]
    short = api.run({**simple, "name": "short", "optimizer": {"budget": 6, "batch_size": 3}})
    page.open(f"{api.url}/#/campaigns/{short}")
    state(page, "completed")
    button(page, "Extend")
    page.wait("document.querySelector('#budget')", "it asks for a budget")
    page.run("document.querySelector('#budget').value = 8")
    button(page, "Extend campaign", "dialog")
    page.wait_text("8 / 8", ".facts")
    state(page, "completed")
    button(page, "Clone")
    page.wait("document.querySelector('#copy')", "it asks for a name")
    button(page, "Run copy", "dialog")
    page.wait_text("short-2", "h1")
    state(page, "completed")
    assert page.console == []


def test_the_page_shows_what_was_learnt(page: Browser, api: Api, pictures: Path) -> None:
    here = api.run(COATING)
    page.open(f"{api.url}/#/campaigns/{here}")
    state(page, "completed")
    page.run("document.querySelector('.explanation').scrollIntoView()")
    page.wait("document.querySelectorAll('.explanation .cell').length > 100", "the contour")
    page.wait("document.querySelector('.explanation .band')", "the slice")
    bars = ".explanation .bars > div button"
    page.wait(f"document.querySelector('{bars}').innerText === 'rate'", "what matters first")
    assert "R²" in page.text(".explanation")
    page.screenshot(pictures / "learnt-light.png", whole=True)
    # The bars of another objective, and words along an axis.
    page.run(
        "const o = document.querySelector('#explain-objective'); o.value = 'cost';"
        "o.dispatchEvent(new Event('change'))"
    )
    page.wait(f"document.querySelector('{bars}').innerText === 'thickness'", "the other objective")
    page.run(
        "const a = document.querySelector('#explain-along'); a.value = 'gas';"
        "a.dispatchEvent(new Event('change'))"
    )
    page.wait_text("helium", ".explanation figure:nth-of-type(3)")
    assert page.console == []

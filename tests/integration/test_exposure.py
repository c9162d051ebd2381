"""A stack that listens to the network says so, and where it is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from materia.stack.exposure import is_exposed, outside_host
from stacks import Stack


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_is_not_exposed(host: str) -> None:
    assert not is_exposed(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "no.such.host.invalid"])
def test_every_other_address_counts_as_exposed(host: str) -> None:
    assert is_exposed(host)
    assert outside_host(host) not in ("0.0.0.0", "::", "")


@pytest.mark.parametrize("key", [None, "a-key-of-thirty-two-characters-0"])
def test_a_stack_on_every_address_prints_its_url_and_a_warning(
    tmp_path: Path, key: str | None
) -> None:
    env = {"MATERIA_API_HOST": "0.0.0.0"} | ({"MATERIA_API_KEY": key} if key else {})
    stack = Stack(tmp_path / "data", env=env)
    stack.start()
    stack.stop()
    shown = " ".join(stack.output().split())
    assert f"ready at http://127.0.0.1:{stack.port}" in shown
    outside = re.search(r"other machines find it at http://(\S+):(\d+)", shown)
    assert outside
    assert outside.groups() == (outside_host("0.0.0.0"), str(stack.port))
    assert "warning: it is reachable from the network" in shown
    assert ("export MATERIA_API_KEY=" in shown) == (key is None)

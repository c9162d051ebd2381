"""Who may use Flower follows from FLOWER_USER and FLOWER_PASSWORD."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from materia.errors import AccessError
from materia.settings import Settings
from materia.tasks.flower import secure


def options(**given: object) -> SimpleNamespace:
    """Return Flower's options as it has read them itself."""
    return SimpleNamespace(
        **{"basic_auth": [], "auth": "", "address": "", "unix_socket": "", **given}
    )


def test_user_and_password_become_the_basic_authentication(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLOWER_USER", "lab")
    monkeypatch.setenv("FLOWER_PASSWORD", "with,comma:and colon")
    chosen = options(address="0.0.0.0")
    secure(chosen, Settings())
    assert chosen.basic_auth == ["lab:with,comma:and colon"]
    assert chosen.address == "0.0.0.0"


@pytest.mark.parametrize(
    ("user", "password", "named"),
    [
        ("lab", "", "FLOWER_PASSWORD"),
        ("lab", " ", "FLOWER_PASSWORD"),
        ("lab", None, "FLOWER_PASSWORD"),
        ("", "secret", "FLOWER_USER"),
        (None, "secret", "FLOWER_USER"),
        ("", "", "FLOWER_USER and FLOWER_PASSWORD"),
        ("a:b", "secret", "colon"),
    ],
)
def test_an_empty_or_missing_one_is_refused(
    user: str | None, password: str | None, named: str
) -> None:
    with pytest.raises(AccessError, match=named) as refused:
        secure(options(), Settings(flower_user=user, flower_password=password))
    assert "secret" not in str(refused.value)


def test_without_them_it_listens_on_loopback_only() -> None:
    chosen = options()
    secure(chosen, Settings())
    assert (chosen.address, chosen.basic_auth) == ("127.0.0.1", [])
    with pytest.raises(AccessError, match=r"0\.0\.0\.0"):
        secure(options(address="0.0.0.0"), Settings())


def test_other_authentication_of_flower_is_left_alone() -> None:
    for given in ({"auth": ".*@example.org"}, {"basic_auth": ["a:b"]}, {"unix_socket": "/x"}):
        chosen = options(**given)
        secure(chosen, Settings())
        assert chosen.address == ""

"""What a definition can begin with and choose from; the same for both clients."""

from __future__ import annotations

from typing import Any

from materia.client.nouns import Noun
from materia.client.steps import got


class Templates(Noun):
    """Definitions to begin with."""

    path = "/templates"

    def list(self) -> Any:
        """Return all of them: ``{items, next_cursor, total}``, each with name, title and text."""
        return self._run(got(self.path))

    def get(self, name: str) -> Any:
        """Return one of them."""
        return self._run(got(self._at(name)))


class Evaluators(Noun):
    """What a server can evaluate candidates with."""

    path = "/evaluators"

    def list(self) -> Any:
        """Return all of them, plug-ins included, each with the JSON schema of its options."""
        return self._run(got(self.path))

    def get(self, type_: str) -> Any:
        """Return one of them."""
        return self._run(got(self._at(type_)))

"""Definitions to begin with: each a whole file with comments, for one kind of work.

The first comment of a file is its title; the file runs as it stands where its evaluator can.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from materia.errors import NotFoundError
from materia.mdl.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Template:
    """A definition to begin with.

    Attributes:
        title: What it is for, in one line.
        text: The file, YAML.
    """

    name: str
    title: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return {"name": self.name, "title": self.title, "text": self.text}


@cache
def all_templates() -> dict[str, Template]:
    """Return every template by its name."""
    found = {}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        name, dot, kind = file.name.partition(".")
        if dot and kind == "yaml":
            text = file.read_text(encoding="utf-8")
            found[name] = Template(name, text.partition("\n")[0].lstrip("# "), text)
    return found


def template(name: str) -> Template:
    """Return one template.

    Raises:
        NotFoundError: There is none of that name.
    """
    known = all_templates()
    if name not in known:
        raise NotFoundError(f"there is no template '{name}'", did_you_mean(name, known))
    return known[name]

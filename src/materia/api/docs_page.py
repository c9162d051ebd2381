"""The page at /docs: every operation of the OpenAPI file, readable without scripts or internet."""

from __future__ import annotations

from html import escape
from typing import Any

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-weight: 600 } h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code, pre { font: 13px/1.5 ui-monospace, monospace }
pre { overflow-x: auto; background: #8881; padding: .6rem; border-radius: 6px }
b { display: inline-block; min-width: 3.6rem } .get { color: #1f7a4d } .post { color: #2458b3 }
small { color: #777 } td { vertical-align: top; padding: .15rem 1rem .15rem 0 }
:root { color-scheme: light dark }
"""

Document = dict[str, Any]


def render(document: Document) -> str:
    """Return the page of an OpenAPI document."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation, document))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in groups.items())
    info = document["info"]
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])} API</title><style>{STYLE}</style></head><body>
<h1>{escape(info["title"])} API <small>{escape(info["version"])}</small></h1>
<p>{escape(info.get("description", ""))} The machine-readable description is
<a href="/api/v1/openapi.json"><code>/api/v1/openapi.json</code></a>.</p>
<p>Every request carries <code>Authorization: Bearer &lt;key&gt;</code>; each operation names the
scope that the key needs. What belongs to another owner does not exist for it.
Lists take <code>limit</code> and <code>cursor</code>. A refusal is
<code>application/problem+json</code> with a stable <code>code</code>.</p>
<h2>Live</h2>
<p>WebSockets <code>/api/v1/ws/campaigns/{{id}}</code>, <code>/api/v1/ws/jobs/{{id}}</code> and, of
everything from now on, <code>/api/v1/ws/events</code> send
<code>{{id, type, time, campaign_id, job_id, data}}</code>. With <code>?after=&lt;id&gt;</code> they
first replay what came after that number; without it, everything kept. On <code>resync</code> read
the state anew. A browser gives its key as the subprotocol
<code>materia.bearer.&lt;key&gt;</code>.</p>
{sections}</body></html>"""


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    name = f'<b class="{escape(method)}">{escape(method.upper())}</b> <code>{escape(path)}</code>'
    text = escape(operation.get("description", ""))
    return (
        f"<details><summary>{name} <small>{text}</small></summary>"
        f"{_scope(operation)}{_parameters(operation)}{_body(operation, document)}"
        f"{_answers(operation)}</details>"
    )


def _scope(operation: Document) -> str:
    scopes = [scope for one in operation.get("security", []) for scope in one.get("key", [])]
    needs = f"a key with the scope <code>{escape(scopes[0])}</code>" if scopes else "no key"
    return f"<p>Needs {needs}.</p>"


def _parameters(operation: Document) -> str:
    rows = [
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
        f"<td>{_kind(item['schema'])}</td><td>{escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", [])
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _body(operation: Document, document: Document) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    parts = [f"<p>Body: <code>{'</code> or <code>'.join(map(escape, content))}</code></p>"]
    for media in content.values():
        if "example" in media:
            parts.append(f"<pre>{escape(media['example'])}</pre>")
        elif "$ref" in media["schema"]:
            parts.append(_fields(media["schema"]["$ref"], document))
    return "".join(parts) if content else ""


def _fields(reference: str, document: Document) -> str:
    shape = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{_kind(schema)}</td>"
        f"<td>{'required' if name in shape.get('required', []) else ''}</td>"
        f"<td>{escape(schema.get('description', ''))}</td></tr>"
        for name, schema in shape.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _answers(operation: Document) -> str:
    rows = [
        f"<tr><td><code>{escape(status)}</code></td><td>{_shape(answer)}</td>"
        f"<td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _shape(answer: Document) -> str:
    for media in answer.get("content", {}).values():
        return _kind(media.get("schema", {}))
    return ""


def _kind(schema: Document) -> str:
    if "$ref" in schema:
        return escape(schema["$ref"].rsplit("/", 1)[1])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return escape(", ".join(map(str, schema["enum"])))
    kind = escape(str(schema.get("type", "any")))
    return f"{kind} of {_kind(schema['items'])}" if "items" in schema else kind

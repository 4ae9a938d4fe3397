"""The page `/docs`: the OpenAPI description for people, without a script and without anything from another computer."""

from html import escape
from typing import Any


def reference_page(document: dict[str, Any]) -> str:
    """The description as one page."""
    info = document["info"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(info['title'])} {escape(info['version'])}</title>",
        '<link rel="stylesheet" href="static/reference.css"></head><body><main>',
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        *(f"<p>{escape(text)}</p>" for text in info.get("description", "").split("\n\n")),
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method, path, operation)
    return "\n".join([*parts, "</main></body></html>"])


def _operation(method: str, path: str, operation: dict[str, Any]) -> list[str]:
    """One address and method."""
    parts = [f"<section><h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>"]
    text = operation.get("description") or operation.get("summary", "")
    parts.append(f"<p>{escape(text)}</p>")
    rows = [
        (each["name"], each["in"], each["schema"], each.get("description", ""), each.get("required", False))
        for each in operation.get("parameters", [])
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        required = schema.get("required", [])
        rows += [
            (name, kind, about, about.get("description", ""), name in required)
            for name, about in schema.get("properties", {}).items()
        ]
    if rows:
        parts.append("<table><tr><th>Field</th><th>In</th><th>Values</th><th>Meaning</th></tr>")
        parts += [
            f"<tr><td><code>{escape(name)}</code>{' (required)' if required else ''}</td><td>{escape(place)}</td>"
            f"<td>{escape(_values(schema))}</td><td>{escape(about)}</td></tr>"
            for name, place, schema, about, required in rows
        ]
        parts.append("</table>")
    parts.append("<table><tr><th>Status</th><th>Answer</th><th>Content</th></tr>")
    for status, response in sorted(operation["responses"].items(), key=lambda each: str(each[0])):
        kinds = ", ".join(response.get("content", {})) or "none"
        parts.append(f"<tr><td>{status}</td><td>{escape(response['description'])}</td><td>{escape(kinds)}</td></tr>")
    return [*parts, "</table></section>"]


def _values(schema: dict[str, Any]) -> str:
    """What a field may hold, in few words."""
    if "anyOf" in schema:
        schema = next((each for each in schema["anyOf"] if each.get("type") != "null"), schema)
    if schema.get("format") == "binary":
        return "a file"
    if "enum" in schema:
        text = ", ".join(map(str, schema["enum"]))
    elif "minimum" in schema or "exclusiveMinimum" in schema:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        text = f"{low} to {schema.get('maximum', '...')}"
    else:
        text = schema.get("items", schema).get("pattern") or str(schema.get("type", ""))
    return f"{text} [{schema['default']}]" if "default" in schema else text

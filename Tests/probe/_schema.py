# SPDX-License-Identifier: BSD-3-Clause
"""The part of JSON Schema that docs/probe-json.schema.json uses."""

import json
import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "probe-json.schema.json").read_text())
EVENTS = {name.removeprefix("event_"): schema for name, schema in SCHEMA["$defs"].items() if name.startswith("event_")}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
KNOWN = {"type", "const", "enum", "pattern", "minimum", "items", "properties", "required", "additionalProperties", "$ref"}


def fault(value, schema, where="line"):
    """The part that does not fit, as a sentence; None: everything fits."""
    assert set(schema) <= KNOWN, f"the schema uses {set(schema) - KNOWN}"
    if "$ref" in schema:
        return fault(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    if "const" in schema and value != schema["const"]:
        return f"{where} is {value!r}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is {value!r}, none of {schema['enum']}"
    if "type" in schema:
        kind = TYPES[schema["type"]]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return f"{where} is {value!r}, no {schema['type']}"
    if "minimum" in schema and value < schema["minimum"]:
        return f"{where} is {value}, less than {schema['minimum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{where} does not match {schema['pattern']}"
    if isinstance(value, list):
        for i, item in enumerate(value):
            if wrong := fault(item, schema.get("items", {}), f"{where}[{i}]"):
                return wrong
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{where} has no {name}"
        for name, item in value.items():
            if name not in schema.get("properties", {}):
                return f"{where}.{name} is not documented"
            if wrong := fault(item, schema["properties"][name], f"{where}.{name}"):
                return wrong
    return None


def fault_of_line(record):
    schema = EVENTS.get(record.get("event"))
    return fault(record, schema) if schema else f"there is no event {record.get('event')!r}"

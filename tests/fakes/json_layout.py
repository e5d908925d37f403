"""The layout of the JSON files of bundles."""

import json
from typing import Any


def laid_out(value: Any, indent: int = 0, taken: int = 0) -> str:
    """Return JSON with one line for every mapping or list that fits into 120 characters.

    Args:
        value: content to write.
        indent: indent of its line.
        taken: characters of its key.
    """
    plain = json.dumps(value)
    if not isinstance(value, dict | list) or (indent and indent + taken + len(plain) < 120):
        return plain
    space = " " * (indent + 4)
    if isinstance(value, dict):
        keys = {key: f"{json.dumps(key)}: " for key in value}
        parts = [f"{space}{keys[key]}{laid_out(one, indent + 4, len(keys[key]))}" for key, one in value.items()]
        opening, closing = "{}"
    else:
        parts = [space + laid_out(one, indent + 4) for one in value]
        opening, closing = "[]"
    inner = ",\n".join(parts)
    return f"{opening}\n{inner}\n{' ' * indent}{closing}"

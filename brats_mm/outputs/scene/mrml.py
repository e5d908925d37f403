"""The nodes of a 3D Slicer scene, as plain data, and the XML text (MRML) that holds them.

Attributes are those that Slicer's own writer gives such nodes; what is left out has Slicer's default.
Format: https://slicer.readthedocs.io/en/latest/developer_guide/mrml_overview.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

Value = str | int | float | bool | Sequence[float]


@dataclass(frozen=True)
class Node:
    """A node of the scene.

    Attributes:
        tag: its kind, as Slicer calls it in files (`Volume`).
        id: by which other nodes refer to it.
        name: what a person reads.
        attributes: further attributes, in the order of the file.
        references: role -> ids of nodes that it needs.
    """

    tag: str
    id: str
    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    references: Mapping[str, Sequence[str]] = field(default_factory=dict)


def mrml(nodes: Iterable[Node]) -> bytes:
    """The scene as a file's content; the same nodes give the same bytes."""
    root = ElementTree.Element("MRML", {"version": "Slicer 5.2.0 0", "userTags": ""})
    for node in nodes:
        attributes = {"id": node.id, "name": node.name}
        attributes |= {name: _spelled(value) for name, value in node.attributes.items()}
        if node.references:
            roles = (f"{role}:{' '.join(ids)};" for role, ids in node.references.items())
            attributes["references"] = "".join(roles)
        ElementTree.SubElement(root, node.tag, attributes)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _spelled(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:.10g}"
    return " ".join(f"{float(one) + 0.0:.10g}" for one in value)  # + 0.0: no negative zero

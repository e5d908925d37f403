"""Nodes of a 3D Slicer scene as plain data, and their serialisation to XML (MRML).

The attributes are those written by Slicer. Omitted attributes have Slicer's defaults. Format:
https://slicer.readthedocs.io/en/latest/developer_guide/mrml_overview.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

Value = str | int | float | bool | Sequence[float]


@dataclass(frozen=True)
class Node:
    """A node of the scene.

    Attributes:
        tag: XML tag, such as `Volume`.
        id: id for references from other nodes.
        name: display name.
        attributes: further attributes, in file order.
        references: role -> ids of referenced nodes.
    """

    tag: str
    id: str
    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    references: Mapping[str, Sequence[str]] = field(default_factory=dict)


def to_mrml(nodes: Iterable[Node]) -> bytes:
    """Serialise the scene. Equal nodes give equal bytes."""
    root = ElementTree.Element("MRML", {"version": "Slicer 5.2.0 0", "userTags": ""})
    for node in nodes:
        attributes = {"id": node.id, "name": node.name}
        attributes |= {name: _format_value(value) for name, value in node.attributes.items()}
        if node.references:
            roles = (f"{role}:{' '.join(ids)};" for role, ids in node.references.items())
            attributes["references"] = "".join(roles)
        ElementTree.SubElement(root, node.tag, attributes)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _format_value(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:.10g}"
    return " ".join(f"{float(number) + 0.0:.10g}" for number in value)  # + 0.0: no negative zero

"""The one tree that an image's layers make, kept in memory: what is where, and in which layer its content is.

Layers are applied member by member, lowest layer first, by the rules of
https://github.com/opencontainers/image-spec/blob/main/layer.md: a later member takes the place of an earlier one, and a
whiteout hides what lower layers put there, wherever in its own layer it stands. As containerd and umoci do, a member is
put behind the symbolic links in its folder's path, which are resolved inside the tree; a folder's own entry takes a
link's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from modelimg.errors import ImageError
from modelimg.oci.members import Member

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

_MAX_LINKS = 40
_MAX_DEPTH = 256


@dataclass(eq=False, slots=True)
class Node:
    """A path of the tree.

    Attributes:
        path: relative to the root, which is empty; no symbolic link in it but perhaps the last part.
        kind: what is there.
        layer: number of the layer that put it there.
        parent: folder that it is in; None for the root.
        member: what the tar says of it; None for a folder that no layer has an entry for.
        source: number of the layer that has a file's content, at ``member.offset``.
        children: of a folder, by name.
        original: of a hard link, the node that it was made from; it may have left the tree since.
    """

    path: str
    kind: Literal["file", "directory", "symlink", "device"]
    layer: int
    parent: Node | None = None
    member: Member | None = None
    source: int = 0
    children: dict[str, Node] = field(default_factory=dict)
    original: Node | None = None

    def walk(self) -> Iterator[Node]:
        """Everything below, folders before what is in them."""
        todo = [self]
        while todo:
            for child in todo.pop().children.values():
                yield child
                todo.append(child)


class Tree:
    """Layers applied on top of each other. `added` and `removed` are told of each change."""

    def __init__(self) -> None:
        self.root = Node("", "directory", 0)

    def added(self, node: Node) -> None:
        """A node has been put into the tree."""

    def removed(self, node: Node) -> None:
        """A node is about to leave the tree, with all that is below it."""

    def apply(self, member: Member, layer: int) -> Node | None:
        """Apply the next member of a layer.

        Returns:
            The node that it became; None where it became none.

        Raises:
            ImageError: a name that leaves the tree or lies inside a file, a link to nothing, links in a circle.
        """
        parts = split_name(member.name)
        if not parts:
            return self._apply_to_root(member)
        above, name = parts[:-1], parts[-1]
        if name.startswith(WHITEOUT):
            self._white_out(above, name, layer, member)
            return None
        parent = self._make(above, layer, member)
        old = parent.children.get(name)
        if old and old.kind == member.kind == "directory":
            old.layer, old.member = layer, member
            return old
        node = self._node(member, layer, parent, name)
        if node.original is not None and node.original is old:
            return old  # a hard link to itself
        self._put(parent, name, node)
        return node

    def find(self, path: str) -> Node | None:
        """What is at a path, symbolic links followed inside the tree; None where nothing is."""
        return self._follow(path.split("/"))

    def _apply_to_root(self, member: Member) -> Node:
        if member.kind != "directory":
            raise ImageError(f"a layer has a {member.kind} in the place of the root folder")
        self.root.member = member
        return self.root

    def _node(self, member: Member, layer: int, parent: Node, name: str) -> Node:
        path = _join(parent, name)
        if member.kind != "hardlink":
            return Node(path, member.kind, layer, parent, member, layer)
        target = split_name(member.target)
        folder = self._follow(target[:-1])
        original = folder.children.get(target[-1]) if target and folder else None
        if original is None or original.kind == "directory":
            raise ImageError(f"the hard link {member.name!r} leads to {member.target!r}, which is no file there")
        return Node(path, original.kind, layer, parent, original.member, original.source, original=original)

    def _put(self, parent: Node, name: str, node: Node) -> None:
        if old := parent.children.get(name):
            self.removed(old)
        parent.children[name] = node
        self.added(node)

    def _make(self, parts: Sequence[str], layer: int, member: Member) -> Node:
        """The folder at a path, made where it is missing."""
        node = self._follow(parts, make=layer)
        if node is None or node.kind != "directory":
            raise ImageError(f"{member.name!r} lies inside something that is no folder, or behind links in a circle")
        return node

    def _follow(self, parts: Sequence[str], *, make: int | None = None) -> Node | None:
        """Walk from the root. With ``make``, missing folders are made, and lower layers' files give way to them."""
        node, todo, links = self.root, list(reversed(parts)), 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if node.kind != "directory":
                return None
            if name == "..":
                node = node.parent or self.root
                continue
            child = node.children.get(name)
            if make is not None and (child is None or (child.kind in ("file", "device") and child.layer < make)):
                child = Node(_join(node, name), "directory", make, node)
                self._put(node, name, child)
            if child is None:
                return None
            if child.kind != "symlink" or child.member is None:
                node = child
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            target = child.member.target
            todo.extend(reversed(target.split("/")))
            node = self.root if target.startswith("/") else node
        return node

    def _white_out(self, above: Sequence[str], name: str, layer: int, member: Member) -> None:
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise ImageError(f"the whiteout {member.name!r} names nothing that can be hidden")
        folder = self._follow(above)
        if folder is None:
            return
        if name == OPAQUE:
            self._fade(list(folder.children.values()), layer)
        elif hidden in folder.children:
            self._fade([folder.children[hidden]], layer)

    def _fade(self, nodes: list[Node], layer: int) -> None:
        """Remove what lower layers put there; what this layer has put below it stays."""
        every = [*nodes, *(below for node in nodes for below in node.walk())]
        for node in reversed(every):
            if node.layer < layer and not node.children and node.parent:
                self.removed(node)
                del node.parent.children[node.path.rpartition("/")[2]]


def _join(parent: Node, name: str) -> str:
    path = f"{parent.path}/{name}" if parent.path else name
    if path.count("/") > _MAX_DEPTH:
        raise ImageError(f"{path!r} lies more than {_MAX_DEPTH} folders deep")
    return path


def split_name(name: str) -> list[str]:
    """The parts of a member's name, without the ``./`` or ``/`` that some builders put before it.

    Raises:
        ImageError: it leads upwards.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageError(f"the name {name!r} in a layer leads upwards")
    return parts

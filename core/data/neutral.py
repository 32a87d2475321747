"""Proves of a chat template that it only places the messages' texts and never decides anything by them.

Such a template writes the same around every text, so it needs to be rendered only once for each sequence of
roles. The proof follows values through the template's syntax tree; what it doesn't know, it does not prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jinja2 import nodes

Kind = Literal["messages", "message", "text", "other"]

# what these tests say of a text, whatever it says
_OF_A_TEXT = {
    "defined": True,
    "string": True,
    "iterable": True,
    "sequence": True,
    "undefined": False,
    "none": False,
    "mapping": False,
    "number": False,
    "boolean": False,
}
# a chat with others has to be rendered
ROLES = frozenset(("system", "user", "assistant"))
# what a loop may be asked for; its neighbours are messages
_LOOP = {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"}
_MOST_PASSES = 8


class _Unproven(Exception):
    """Something in the template may look at a text."""


def is_neutral(tree: nodes.Template) -> bool:
    """Whether texts that are not blank only flow into the output: joined, trimmed or as they are."""
    proof = _Proof()
    try:
        for _ in range(_MOST_PASSES):
            before = dict(proof.names)
            proof.statements(tree.body)
            if proof.names == before:
                return True
    except (_Unproven, RecursionError):
        return False
    return False


class _Proof:
    """What each name may hold, wherever it is set."""

    def __init__(self) -> None:
        self.names: dict[str, Kind] = {"messages": "messages"}
        # what a macro writes can be compared where it is called
        self.in_macro = False

    def statements(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self._statement(node)

    def _statement(self, node: nodes.Node) -> None:
        match node:
            case nodes.Output():
                for item in node.nodes:
                    self._one_of(item, "other") if self.in_macro else self._one_of(item, "text", "other")
            case nodes.If():
                self._if(node)
            case nodes.For():
                self._for(node)
            case nodes.Assign():
                self._set(node.target, self._kind(node.node))
            case nodes.ExprStmt():
                self._one_of(node.node, "other")
            case nodes.Macro():
                self._macro(node)
            case nodes.CallBlock(call=nodes.Call(node=nodes.ExtensionAttribute())):
                self.statements(node.body)
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._set(target, self._kind(value))
                self.statements(node.body)
            case nodes.Break() | nodes.Continue():
                return
            case _:
                raise _Unproven

    def _if(self, node: nodes.If) -> None:
        """Only the branches that a chat of texts can come to."""
        known = self._known(node.test)
        if known is None:
            self._decides(node.test)
        if known is not False:
            self.statements(node.body)
        if known is not True:
            self.statements(node.elif_)
            self.statements(node.else_)

    def _known(self, node: nodes.Node) -> bool | None:
        """What a condition always comes to, None where that depends."""
        match node:
            case nodes.Not():
                inner = self._known(node.node)
                return None if inner is None else not inner
            case nodes.And() | nodes.Or():
                settles = isinstance(node, nodes.Or)
                sides = {self._known(node.left), self._known(node.right)}
                return settles if settles in sides else None if None in sides else not settles
            # only the text itself: a name may hold something else as well
            case nodes.Test(name=name) if name in _OF_A_TEXT and self._is_part(node.node, "content"):
                return _OF_A_TEXT[name]
            case nodes.Compare(ops=[nodes.Operand(op="eq", expr=nodes.Const(value=str(role)))]):
                if role not in ROLES and self._is_part(node.expr, "role"):
                    return False
        return None

    def _is_part(self, node: nodes.Node, name: str) -> bool:
        """Whether this is `name` of a message."""
        match node:
            case nodes.Getattr(attr=key) | nodes.Getitem(arg=nodes.Const(value=key)):
                return key == name and self._kind(node.node) == "message"
        return False

    def _macro(self, node: nodes.Macro) -> None:
        for value in node.defaults:
            self._one_of(value, "other")
        for argument in node.args:
            self._set(argument, "other")
        outside, self.in_macro = self.in_macro, True
        self.statements(node.body)
        self.in_macro = outside

    def _for(self, node: nodes.For) -> None:
        over = self._kind(node.iter)
        if node.recursive or over not in ("messages", "other"):
            raise _Unproven
        self._set(node.target, "message" if over == "messages" else "other")
        if node.test is not None:
            self._decides(node.test)
        self.statements(node.body)
        self.statements(node.else_)

    def _set(self, target: nodes.Node, kind: Kind) -> None:
        if not isinstance(target, nodes.Name):
            if kind != "other":
                raise _Unproven
            for name in target.find_all(nodes.Name):
                self._set(name, "other")
            return
        held = self.names.get(target.name)
        if held in (None, kind):
            self.names[target.name] = kind
        elif {held, kind} == {"text", "other"}:
            self.names[target.name] = "text"
        else:
            raise _Unproven

    def _decides(self, node: nodes.Node) -> None:
        """A condition: a text that is not blank counts as true, whatever it says."""
        match node:
            case nodes.And() | nodes.Or():
                self._decides(node.left)
                self._decides(node.right)
            case nodes.Not():
                self._decides(node.node)
            case nodes.Compare(expr=nodes.Const(), ops=[nodes.Operand(op="in" | "notin") as operand]):
                # whether a message has a key: it has its role and its content
                self._one_of(operand.expr, "message", "other")
            case _:
                self._kind(node)

    def _one_of(self, node: nodes.Node, *allowed: Kind) -> Kind:
        kind = self._kind(node)
        if kind not in allowed:
            raise _Unproven
        return kind

    def _kind(self, node: nodes.Node) -> Kind:
        match node:
            case nodes.Const() | nodes.TemplateData() | nodes.ExtensionAttribute():
                return "other"
            case nodes.Name():
                if node.name == "loop":
                    raise _Unproven
                return self.names.get(node.name, "other")
            case nodes.Getattr():
                return self._part(node.node, node.attr)
            case nodes.Getitem():
                return self._item(node)
            case nodes.Add() | nodes.Concat():
                parts = node.nodes if isinstance(node, nodes.Concat) else [node.left, node.right]
                kinds = [self._one_of(part, "text", "other") for part in parts]
                return "text" if "text" in kinds else "other"
            case nodes.CondExpr():
                self._decides(node.test)
                branches = [node.expr1] if node.expr2 is None else [node.expr1, node.expr2]
                kinds = [self._one_of(branch, "text", "other") for branch in branches]
                return "text" if "text" in kinds else "other"
            case nodes.Not():
                self._decides(node.node)
                return "other"
            case nodes.Filter() | nodes.Test() | nodes.Call():
                return self._applied(node)
            case _:
                for child in node.iter_child_nodes():
                    self._one_of(child, "other")
                return "other"

    def _part(self, of: nodes.Node, name: object) -> Kind:
        if isinstance(of, nodes.Name) and of.name == "loop":
            if name in _LOOP:
                return "other"
            raise _Unproven
        kind = self._kind(of)
        if kind == "message" and isinstance(name, str) and not hasattr(dict, name):
            return "text" if name == "content" else "other"
        if kind != "other":
            raise _Unproven
        return "other"

    def _item(self, node: nodes.Getitem) -> Kind:
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return self._part(node.node, node.arg.value)
        kind = self._kind(node.node)
        if isinstance(node.arg, nodes.Slice):
            for child in node.arg.iter_child_nodes():
                self._one_of(child, "other")
        else:
            self._one_of(node.arg, "other")
        if kind == "messages":
            return "messages" if isinstance(node.arg, nodes.Slice) else "message"
        if kind != "other":
            raise _Unproven
        return "other"

    def _applied(self, node: nodes.Filter | nodes.Test | nodes.Call) -> Kind:
        """A filter, a test or a call."""
        arguments = [*node.args, *(one.value for one in node.kwargs)]
        for argument in [*arguments, *filter(None, (node.dyn_args, node.dyn_kwargs))]:
            self._one_of(argument, "other")
        if isinstance(node, nodes.Call):
            called = node.node
            if isinstance(called, nodes.Getattr) and self._kind(called.node) == "text":
                return self._trimmed(called.attr == "strip", arguments)
            return self._one_of(called, "other")
        if node.node is None:
            raise _Unproven
        kind = self._kind(node.node)
        if kind == "other" or (isinstance(node, nodes.Test) and node.name in _OF_A_TEXT):
            return "other"
        if kind == "messages" and node.name in ("length", "count"):
            return "other"
        return self._trimmed(kind == "text" and node.name == "trim", arguments)

    def _trimmed(self, trims: bool, arguments: list[nodes.Expr]) -> Kind:
        if not trims or arguments:
            raise _Unproven
        return "text"

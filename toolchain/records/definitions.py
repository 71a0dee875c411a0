"""Definitions: what a Python source defines at its top level, and what that uses.

Comments, docstrings and what only tests read of an operator do not count, nor does
where a statement stands.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from typing import TypedDict

# Arguments of an operator that its object does not follow from: tests read them, and
# models whose constants the reference computes. That is a definition of its own.
_TESTED = ("reference", "reference_scale", "cases", "bound")
REFERENCE = "KERNEL's reference"
# Decorators that change nothing but their definition, or that register it for those
# who name it.
_PLAIN = {"cache", "contextmanager", "dataclass", "math_function", "emits"}
# A decorator by which its definition becomes part of the definition that it names.
_PART = "short_form"
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_NONE: frozenset[str] = frozenset()
# Python 3.13 leaves empty lists out unless it is told not to.
_WHOLE = {"show_empty": True} if sys.version_info >= (3, 13) else {}


def hash_of(data: str | bytes) -> str:
    """Half of a SHA-256, in hexadecimal digits."""
    data = data.encode() if isinstance(data, str) else data
    return hashlib.sha256(data).hexdigest()[:32]


class Index(TypedDict):
    """What a source defines: a hash and the uses of each name.

    A use is a name of this file, or "module:path" of another; "module:" is all of it.
    effects: the definitions that count for whoever uses any other of the file.
    """

    definitions: dict[str, tuple[str, list[str]]]
    effects: list[str]


def index_of(text: bytes) -> Index:
    """The index of a source."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # whoever runs it will say so
        return {"definitions": {"*": (hash_of(text), [])}, "effects": []}
    formula = (ast.get_docstring(tree) or "").partition("\n")[0]
    named = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | _exported(tree)
    _strip(tree)
    index = _Index(tree, named)
    index.add("__doc__", hash_of(formula), set())
    return {
        "definitions": {n: (h, sorted(u)) for n, (h, u) in index.definitions.items()},
        "effects": sorted(index.effects),
    }


def _exported(tree: ast.Module) -> set[str]:
    """Names in `__all__`: an import that is there for others runs nothing here."""
    return {
        n.value
        for s in tree.body
        if "__all__" in _bound(s)
        for n in ast.walk(s)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def _strip(tree: ast.Module) -> None:
    """Take out docstrings, and of an operator what its object does not follow from."""
    references: list[ast.stmt] = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | _Scope)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    for statement in tree.body:
        if "KERNEL" in _bound(statement):
            for call in ast.walk(statement):
                if isinstance(call, ast.Call):
                    references += [
                        ast.Assign([ast.Name(REFERENCE, ast.Store())], k.value)
                        for k in call.keywords
                        if k.arg == "reference"
                    ]
                    call.keywords = [k for k in call.keywords if k.arg not in _TESTED]
    tree.body += references


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement binds in its module."""
    if isinstance(statement, _Scope):
        return {statement.name}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, _Scope):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name for name, _ in _imports(node)}
    return found


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, and what it stands for, as a use."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            path = "" if alias.name == "*" else alias.name
            yield alias.asname or alias.name, f"{node.module}:{path}"
        elif alias.asname:
            yield alias.asname, f"{alias.name}:"
        else:  # `import a.b` binds a
            yield alias.name.partition(".")[0], alias.name.partition(".")[0] + ":"


def _text(statement: ast.stmt) -> str:
    """A statement's syntax, the same by any Python: objects of packages have records.

    3.12 gave definitions type parameters, which this project does not use.
    """
    return ast.dump(statement, **_WHOLE).replace(", type_params=[]", "")


def _decorator(node: ast.expr) -> str:
    """Name of a decorator."""
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class _Index:
    """Collects the definitions of one module. named: names that it uses anywhere."""

    def __init__(self, tree: ast.Module, named: set[str]) -> None:
        self.definitions: dict[str, tuple[str, set[str]]] = {}
        self.effects: set[str] = set()
        self.bound = {n for s in tree.body for n in _bound(s)}
        self.imported: dict[str, str] = {}
        for node in (
            n for s in tree.body if not isinstance(s, _Scope) for n in ast.walk(s)
        ):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imported |= dict(_imports(node))
        self.named = named
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._add_import(statement)
            else:
                self._add_statement(statement)

    def add(self, name: str, content: str, uses: set[str]) -> None:
        """A definition of a name; where it is not the first, both count."""
        before = self.definitions.get(name, ("", set()))
        self.definitions[name] = hash_of(before[0] + content), before[1] | uses

    def _add_import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, use in _imports(statement):
            self.add(name, hash_of(use), {use})
            if name not in self.named and use != "__future__:annotations":
                self.effects.add(name)

    def _add_statement(self, statement: ast.stmt) -> None:
        content, uses = hash_of(_text(statement)), set(self._uses(statement))
        names = _bound(statement) or {f"!{content}"}
        for name in names:
            self.add(name, content, uses)
        if isinstance(statement, _Scope):
            self._add_decorators(statement)
        elif not isinstance(statement, ast.Assign | ast.AnnAssign) or any(
            isinstance(n, ast.Attribute | ast.Subscript)
            and isinstance(n.ctx, ast.Store)
            for n in ast.walk(statement)
        ):
            self.effects |= names

    def _add_decorators(self, scope: _Scope) -> None:
        for node in scope.decorator_list:
            if _decorator(node) == _PART and isinstance(node, ast.Call):
                (whole,) = node.args
                assert isinstance(whole, ast.Name)
                self.add(whole.id, "", {scope.name})
            elif _decorator(node) not in _PLAIN:
                self.effects.add(scope.name)

    def _uses(self, node: ast.AST, hidden: frozenset[str] = _NONE) -> Iterator[str]:
        """What a statement names: definitions of its own module, paths in others.

        hidden: names that functions around the node bind.
        """
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (use for _, use in _imports(node))
        if isinstance(node, _Function | _Comprehension):
            hidden |= _locals(node)
        path: list[str] = []
        base = node
        while isinstance(base, ast.Attribute):
            path, base = [base.attr, *path], base.value
        if isinstance(base, ast.Name):
            if base.id in self.imported and base.id not in hidden:
                module, _, first = self.imported[base.id].partition(":")
                yield f"{module}:{'.'.join([first, *path] if first else path)}"
            elif base.id in self.bound and base.id not in hidden:
                yield base.id
            return
        for child in ast.iter_child_nodes(base if path else node):
            yield from self._uses(child, hidden)


def _locals(scope: ast.AST) -> set[str]:
    """Names that a function or a comprehension binds for what is inside it."""
    found, todo = set(), list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name for name, _ in _imports(node)}
        elif isinstance(node, _Scope):
            found.add(node.name)
        if not isinstance(node, _Scope | ast.Lambda | _Comprehension):
            todo += ast.iter_child_nodes(node)
    return found

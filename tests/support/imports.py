"""Reads the imports of a package, and checks them against rules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


PACKAGE = "voyage_logger"

# A room is a folder or file directly in the package, and imports only rooms of a lower rank.
RANKS = {
    "_version": 0,
    "_base": 1,
    "_entry": 2,
    "devserver": 2,
    "_queue": 3,
    "transports": 3,
    "_delivery": 4,
    "_logger": 5,
    "__init__": 6,  # the public names
    "integrations": 7,
    "testing": 7,
    "cli": 7,
    "__main__": 8,
}

# The dev server replaces the real server, and is allowed to import only this client module.
ONLY_FOR_DEVSERVER = f"{PACKAGE}._base.wire"

# Only the named module of the package is allowed to import each of these foreign modules.
ONLY_IMPORTERS = {
    "requests": f"{PACKAGE}.transports._session",
    "urllib3": f"{PACKAGE}.transports._session",
    "fcntl": f"{PACKAGE}._queue.spool.os_locks",
    "msvcrt": f"{PACKAGE}._queue.spool.os_locks",
}

_MODULE_NAME = re.compile(r"\.?\w+(\.\w+)*")


class Import(NamedTuple):
    """One import: the importing module, the imported module, an imported name, and the kind."""

    importer: str
    imported: str
    name: str = ""
    kind: str = "run time"  # other kinds: "types only", "in a function", "in a string"

    def __str__(self) -> str:
        """Return the import as one line for the output of a failing test."""
        name = f" ({self.name})" if self.name else ""
        return f"{self.importer} -> {self.imported}{name}, {self.kind}"


def sources_in(folder: Path) -> dict[str, str]:
    """Return the text of each Python file, by the path of the file relative to the folder."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.py")}


def imports_in(sources: Mapping[str, str], others: Iterable[str] = ()) -> set[Import]:
    """Return all imports in some files of a package.

    Args:
        sources: The files to read, in the form that `sources_in` returns.
        others: The paths of the other files of the package.
    """
    modules = {_module_at(path) for path in (*sources, *others)}
    return {
        found
        for path, source in sources.items()
        for found in _Reader(path, modules).imports_in(ast.parse(source))
    }


def _module_at(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


class _Reader:
    """Finds the imports in one file of the package."""

    def __init__(self, path: str, modules: set[str]) -> None:
        self._module = _module_at(path)
        is_package = path.endswith("__init__.py")
        self._folder = self._module if is_package else self._module.rpartition(".")[0]
        self._modules = modules
        self._loads_by_name = False

    def imports_in(self, tree: ast.Module) -> Iterator[Import]:
        # If the file uses `import_module` or `__import__`, any string can be a module name.
        self._loads_by_name = any(
            getattr(node, field, None) in {"import_module", "__import__"}
            for node in ast.walk(tree)
            for field in ("id", "attr", "name")
        )
        yield from self._below(tree, "run time")

    def _below(self, node: ast.AST, kind: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(self._module, alias.name, "", kind) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from self._from(child, kind)
            elif isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield from self._named(child.value)
            elif _is_for_types(child):
                yield from self._of_types(child)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield from self._below(child, "in a function")
            else:
                yield from self._below(child, kind)

    def _of_types(self, node: ast.If) -> Iterator[Import]:
        yield from self._below(ast.Module(node.body, []), "types only")
        yield from self._below(ast.Module(node.orelse, []), "run time")

    def _from(self, node: ast.ImportFrom, kind: str) -> Iterator[Import]:
        source = node.module or ""
        if node.level:
            parts = self._folder.split(".")
            kept = parts[: len(parts) - node.level + 1]
            source = ".".join([*kept, source] if source else kept)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            if inner in self._modules:
                yield Import(self._module, inner, "", kind)
            else:
                yield Import(self._module, source, alias.name, kind)

    def _named(self, text: str) -> Iterator[Import]:
        """Yield the module that a string names, if the string is a module name."""
        if not _MODULE_NAME.fullmatch(text):
            return
        if text.startswith(f"{PACKAGE}."):
            found = self._known(text)
            if found != PACKAGE:
                yield Import(self._module, found, "", "in a string")
        elif self._loads_by_name:
            name = text.removeprefix(".")
            relative = {f"{PACKAGE}.{name}", f"{self._folder}.{name}"} & self._modules
            for found in relative or {text} & ONLY_IMPORTERS.keys():
                yield Import(self._module, found, "", "in a string")

    def _known(self, name: str) -> str:
        while name not in self._modules:
            name = name.rpartition(".")[0]
        return name


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def room_of(module: str) -> str:
    """Return the room of a module: the folder or file directly in the package."""
    return module.partition(".")[2].partition(".")[0] or "__init__"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def between_rooms(imports: Iterable[Import]) -> set[Import]:
    """Return the imports from one room of the package to another."""
    return {
        each
        for each in imports
        if _is_ours(each.imported) and room_of(each.importer) != room_of(each.imported)
    }


def upward(imports: Iterable[Import]) -> set[Import]:
    """Return the imports of rooms whose rank is not lower than the rank of the importing room."""
    return {
        each
        for each in between_rooms(imports)
        if RANKS[room_of(each.imported)] >= RANKS[room_of(each.importer)]
        or (room_of(each.importer) == "devserver" and each.imported != ONLY_FOR_DEVSERVER)
    }


def private(imports: Iterable[Import]) -> set[Import]:
    """Return the imports of private names or private modules of another room."""
    return {
        each
        for each in between_rooms(imports)
        if any(
            part.startswith("_") and not part.startswith("__")
            for part in (*each.imported.split(".")[2:], each.name)
        )
    }


def foreign(imports: Iterable[Import]) -> set[Import]:
    """Return the imports of foreign modules that only another module is allowed to import."""
    return {
        each
        for each in imports
        if ONLY_IMPORTERS.get(each.imported.partition(".")[0], each.importer) != each.importer
    }


def circles(imports: Iterable[Import]) -> set[frozenset[str]]:
    """Return the sets of modules that import each other, directly or through other modules."""
    targets: dict[str, set[str]] = {}
    for each in imports:
        if _is_ours(each.imported):
            targets.setdefault(each.importer, set()).add(each.imported)
    reached = {module: _reached_from(module, targets) for module in targets}
    return {
        frozenset(other for other in reached[module] if module in reached.get(other, ()))
        for module in targets
        if module in reached[module]
    }


def _reached_from(module: str, targets: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = targets.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found

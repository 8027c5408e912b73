"""The suite itself: each test asserts, and connects to this machine only."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from pytest_socket import SocketConnectBlockedError

TESTS = Path(__file__).parents[1]
SHARED = {"contracts", "support"}  # the folders that all tests import from

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(tree: ast.AST) -> list[Function]:
    """Return all functions of a file, methods and inner functions too."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def called_in(function: ast.AST) -> set[str]:
    """Return the last name of each call: `raises` for `pytest.raises(...)`."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {ast.unparse(call).rpartition(".")[2] for call in calls}


def asserting(functions: list[Function], helpers: set[str]) -> set[str]:
    """Return the names of the functions that assert, or call one that does."""
    known = helpers | {"raises", "warns", "fail"}
    while new := {
        function.name
        for function in functions
        if function.name not in known and (called_in(function) & known or has_assert(function))
    }:
        known |= new
    return known


def has_assert(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(function))


def without_assertion(tree: ast.AST, helpers: set[str]) -> set[str]:
    """Return the names of a file's tests that can fail only by an error."""
    functions = functions_in(tree)
    known = asserting(functions, helpers)
    return {each.name for each in functions if each.name.startswith("test_")} - known


def test_each_test_asserts() -> None:
    """Each test has an assertion, or calls a helper of the suite that has one."""
    paths = [path.relative_to(TESTS) for path in TESTS.rglob("*.py")]
    trees = {path: ast.parse((TESTS / path).read_text()) for path in paths}
    shared = [tree for path, tree in trees.items() if path.parts[0] in SHARED]
    helpers = asserting([each for tree in shared for each in functions_in(tree)], set())
    found = {str(path): without_assertion(tree, helpers) for path, tree in trees.items()}
    assert not {path: names for path, names in found.items() if names}


def test_guard_sees_a_test_that_asserts_nothing() -> None:
    """The check of assertions follows calls of helpers, and finds a test without any."""
    source = """
def check(): assert True
def show(): print()
def test_one(): check()
def test_two(): self.check()
def test_three():
    with pytest.raises(ValueError): int("x")
def test_none(): show()
"""
    assert without_assertion(ast.parse(source), set()) == {"test_none"}


def test_tests_connect_to_this_machine_only() -> None:
    """A test that connects to another machine fails."""
    with (
        pytest.warns(UserWarning, match="connect"),
        pytest.raises(SocketConnectBlockedError, match="192"),
        socket.socket() as client,
    ):
        client.connect(("192.0.2.1", 80))

"""Checks of the test suite: each test asserts, and tests connect only to this machine."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from pytest_socket import SocketConnectBlockedError

TESTS = Path(__file__).parents[1]
SHARED = {"contracts", "support"}  # all tests are allowed to import from these folders

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(tree: ast.AST) -> list[Function]:
    """Return all functions of a file, including methods and inner functions."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def called_in(function: ast.AST) -> set[str]:
    """Return the short name of each called function, such as `raises` for `pytest.raises`."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {ast.unparse(call).rpartition(".")[2] for call in calls}


def asserting(functions: list[Function], helpers: set[str]) -> set[str]:
    """Return the names of the functions that assert, or that call a function that asserts."""
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
    """Return the names of the tests of a file that make no assertion."""
    functions = functions_in(tree)
    known = asserting(functions, helpers)
    return {each.name for each in functions if each.name.startswith("test_")} - known


def test_each_test_asserts() -> None:
    """Each test makes an assertion, or calls a helper that makes an assertion."""
    paths = [path.relative_to(TESTS) for path in TESTS.rglob("*.py")]
    trees = {path: ast.parse((TESTS / path).read_text()) for path in paths}
    shared = [tree for path, tree in trees.items() if path.parts[0] in SHARED]
    helpers = asserting([each for tree in shared for each in functions_in(tree)], set())
    found = {str(path): without_assertion(tree, helpers) for path, tree in trees.items()}
    assert not {path: names for path, names in found.items() if names}


def test_guard_sees_a_test_that_asserts_nothing() -> None:
    """The check follows calls of helpers, and finds a test that makes no assertion."""
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
    """If a test connects to another machine, the test fails."""
    with (
        pytest.warns(UserWarning, match="connect"),
        pytest.raises(SocketConnectBlockedError, match="192"),
        socket.socket() as client,
    ):
        client.connect(("192.0.2.1", 80))

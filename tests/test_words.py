"""English is composed in report/ and cli/ alone: statistics, findings and models of latency are data and verdicts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dorsal

ROOT = Path(dorsal.__file__).parent
SILENT = {"stats": 15, "findings": 15, "latency": 2}
"""Rooms, and how many files they have at the least."""
WORDS = 6
"""A text of so many words is a sentence; fewer are names of fields and verdicts."""


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every sentence that is neither a docstring nor part of an error."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            silent |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))  # a docstring
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
            text = " ".join(part.value for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if len(text.split()) >= WORDS:
            yield node.lineno, text


@pytest.mark.parametrize(("room", "fewest"), SILENT.items())
def test_rooms_of_numbers_compose_no_sentences(room: str, fewest: int) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert len(files) >= fewest
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in files
        for line, text in sentences(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_a_sentence_is_found_and_errors_and_docstrings_are_none() -> None:
    code = """
def said(n):
    "A docstring of six words or more."
    if n < 1:
        raise ValueError(f"n={n} is below 1, and that is an error")
    return f"so many networks: {n}, which is a sentence"
VERDICT = "keeps the order"
METHOD = "Least squares of arms and seeds together."
"""
    assert [line for line, _ in sentences(ast.parse(code))] == [8, 6]

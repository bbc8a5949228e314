"""Runs the command line in this process."""

import sys

import pytest

from dorsal.cli.app import main


@pytest.fixture
def dorsal(monkeypatch, capsys):
    """Calls `dorsal WORDS…` and returns (exit code, stdout, stderr)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dorsal", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run

"""Runs the fenced blocks of a page in order, in one folder and one Python module, and compares what it shows."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from mmm_graph.cli.main import main

FILE = re.compile(r"# file: (\S+)\n")
TOOLS = ("cmp", "ls", "cat", "head")
"""Other programs that a console block may call."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence."""

    line: int
    language: str
    code: str

    @property
    def file(self) -> str:
        """Name of the file that the block is, if its first line says so."""
        found = FILE.match(self.code)
        return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)
    return [Block(text[: m.start()].count("\n") + 1, m[1], m[2]) for m in fences]


def run_page(page: Path, module: ModuleType) -> None:
    """Run python and console blocks; a `text` block after a python block is what it prints.

    Raises:
        AssertionError: a command fails that shows no output, or the output is not what is shown.
    """
    found = blocks(page)
    for block, after in zip(found, [*found[1:], Block(0, "", "")], strict=True):
        where = f"{page.name}:{block.line}"
        if block.language == "python":
            printed = _run_python(page, block, module)
            if after.language == "text":
                compare(after.code, printed, where)
        elif block.language == "console":
            for command, shown in commands(block.code):
                status, printed = run_command(command)
                assert shown or status == 0, f"{where}: {command}: exit status {status}\n{printed}"
                if shown:
                    compare(shown, printed, f"{where}: {command}")


def commands(code: str) -> Iterator[tuple[str, str]]:
    """(command, the output shown below it) of a console block; a backslash goes on with the command."""
    for part in re.split(r"^\$ ", code, flags=re.M)[1:]:
        lines = part.splitlines(keepends=True)
        num = 1 + next((i for i, line in enumerate(lines) if not line.endswith("\\\n")), 0)
        yield "".join(lines[:num]).replace("\\\n", " ").strip(), "".join(lines[num:])


def run_command(command: str) -> tuple[int, str]:
    """(exit status, what it wrote, errors first)."""
    words = shlex.split(command, comments=True)
    assert words[0] in ("mmm", *TOOLS), f"a console block calls {words[0]!r}; put it into an sh block"
    if words[0] != "mmm":
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stderr + ran.stdout
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(words[1:])
    return int(end.value.code or 0), err.getvalue() + out.getvalue()


def compare(shown: str, printed: str, where: str) -> None:
    """`...` in what is shown stands for any text."""
    first, *rest = _trimmed(shown).split("...")
    real = _trimmed(printed)
    assert matches(real, first, rest), f"{where}: the page shows another output; this is what came:\n{real}"


def matches(text: str, first: str, rest: list[str]) -> bool:
    """Whether `text` is `first` and then each of `rest` after anything; the last one ends it."""
    if not rest:
        return text == first
    at, end = len(first), len(text) - len(rest[-1])
    if not text.startswith(first) or not text.endswith(rest[-1]) or at > end:
        return False
    for piece in rest[:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _run_python(page: Path, block: Block, module: ModuleType) -> str:
    """Line numbers of errors are those of the page."""
    source = "\n" * block.line + block.code
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, str(page), "exec"), module.__dict__)
    return printed.getvalue()

"""Whatever is done to a graph file, it compiles or ends in located errors: no traceback, hang or flood of memory."""

from __future__ import annotations

import resource
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.sections import compile_all
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from tests.fuzz.mutate import mutations

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "graphs").rglob("*.yaml"))
SECONDS = 10
GIBIBYTE = 1 << 20  # ru_maxrss counts kibibytes


def fuzz(path: Path, count: int, seed: int, folder: Path) -> Counter[str]:
    """Compile damaged versions of a file; returns how many compiled and how many were refused."""
    registry = load_registry()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: Counter[str] = Counter()
    signal.signal(signal.SIGALRM, _hang)
    for other in FILES:  # which it may include
        copy = folder / other.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(other, copy)
    target = folder / path.relative_to(ROOT)
    for number, text in enumerate(mutations(path.read_text(), count, seed)):
        target.write_bytes(text.encode("utf-8", "surrogatepass"))
        signal.alarm(SECONDS)
        try:
            compile_all(load_spec(target), registry)
            found["compiled"] += 1
        except InputError as error:
            found["refused"] += 1
            lost = [p for p in error.problems if p.place is None]
            assert not lost, f"mutation {number} of seed {seed}: no place: {lost[0]}"
        finally:
            signal.alarm(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GIBIBYTE, f"memory grew by {grown >> 10} MiB"
    return found


def _hang(number: int, frame: object) -> None:
    raise AssertionError(f"still compiling after {SECONDS} s")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_some(path, tmp_path):
    count = {"models": 80, "world": 40}.get(path.parent.name, 120)  # models are alike, the world is large
    found = fuzz(path, count, 1, tmp_path)
    assert found["compiled"] > 0 and found["refused"] > count // 2, found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_two_thousand(path, tmp_path):
    found = fuzz(path, 2_000, 2, tmp_path)
    assert sum(found.values()) == 2_000

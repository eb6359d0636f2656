"""The hook file stays small, and the loader knows every hook in it."""

from __future__ import annotations

from pathlib import Path

from mmm_graph.registry import hooks
from mmm_graph.registry.load import OBSERVERS, REGISTERS


def test_the_loader_knows_every_hook() -> None:
    specs = {name for name in vars(hooks) if name.startswith("mmm_")}
    assert specs == REGISTERS.keys() | OBSERVERS


def test_every_hook_is_one_sentence_and_the_file_is_short() -> None:
    assert len(Path(hooks.__file__).read_text().splitlines()) < 50
    docs = [getattr(hooks, name).__doc__ for name in [*REGISTERS, *OBSERVERS]]
    assert all(doc and doc.endswith(".") and "\n" not in doc for doc in docs)

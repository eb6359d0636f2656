"""From conversations to conditions of a generator: rows that nobody asked for are absent, the others have owners."""

from __future__ import annotations

from pathlib import Path

import torch

from mmm_graph.api.session import Session
from tests.plugins.mmm_signal.asks import QUERIES, chat_of, registry, spec_of


def test_only_answers_that_ask_have_rows_and_owners(tmp_path: Path) -> None:
    spec_of(tmp_path)
    session = Session(tmp_path / "asks.yaml", registry=registry())
    twice = chat_of(1)
    twice[1]["content"] = [*twice[1]["content"], *twice[1]["content"]]
    mixed = session.result(given={"chat": [chat_of(2), chat_of(0), twice, chat_of(2), chat_of(1)]})
    cond = mixed.values["cond"]
    assert cond.shape == (4, QUERIES, 12) and mixed.owners["cond"] == (1, 2, 2, 4)
    alone = [session.run(chat=[chat])["cond"] for chat in (chat_of(0), twice, chat_of(1))]
    torch.testing.assert_close(cond, torch.cat(alone), rtol=1e-4, atol=1e-5)
    silent = session.result(given={"chat": [chat_of(2)]})
    assert "cond" not in silent.values and silent.absent["cond"].startswith("sig gave no rows")
    assert silent.values["report"] == [""]

"""What was imported is exported as transformers reads it: the same tensors, none missing, none left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import imported, opened

pytestmark = pytest.mark.parity
FAMILIES: dict[str, tuple[Any, Any]] = {
    "LlavaForConditionalGeneration": (tiny.save_llava, tiny.LLAVA),
    "LlavaNextForConditionalGeneration": (tiny.save_next, tiny.NEXT),
    "Blip2ForConditionalGeneration": (tiny.save_blip2, tiny.BLIP2),
    "IdeficsForVisionText2Text": (tiny.save_idefics, tiny.IDEFICS),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_reads_what_is_exported(tmp_path: Path, name: str) -> None:
    save, cases = FAMILIES[name]
    model, _ = save(tmp_path / "model", next(iter(cases.values())))
    opened(imported(tmp_path / "model"), tmp_path).export(tmp_path / "out")
    again, told = getattr(transformers, name).from_pretrained(tmp_path / "out", output_loading_info=True)
    ours, theirs = again.state_dict(), model.state_dict()
    assert not any(told.values()), told
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in theirs)

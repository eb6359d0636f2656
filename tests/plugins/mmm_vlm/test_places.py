"""The layouts that files of LLaVA have: all are read alike, and what is none of them is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError, RunError
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, imported, opened, registry, rows, user

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("saved", [tiny.save_llava, tiny.save_next])
def test_three_layouts_of_transformers_give_the_same_answers(tmp_path, saved):
    case = {"text": {"model_type": "mistral", "sliding_window": None}}
    saved(tmp_path / "model", case)
    chats = [user(*tiny.pictures(tmp_path)[:2], "hat ?")]
    want = asked(opened(imported(tmp_path / "model"), tmp_path), chat=chats)
    for table in (tiny.HUB, tiny.STATE):
        folder = tmp_path / table[0][1].replace(".", "")
        saved(folder, case)
        assert f"{table[0][1]}embeddings.class_embedding" in tiny.rename(folder, table)
        assert rows(asked(opened(imported(folder), tmp_path), chat=chats)) == rows(want)


def test_names_of_no_layout_are_refused(tmp_path):
    tiny.save_llava(tmp_path, tiny.LLAVA["llama"])
    tiny.rename(tmp_path, (("multi_modal_projector.", "model.projector."),))
    with pytest.raises(
        InputError, match=r"E775.*holds tensors of no layout of LLaVA: .*model\.projector.*known are"
    ):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())


@pytest.mark.parametrize("gone", ["vision_tower.pre_layrnorm.weight", "language_model.lm_head.weight"])
def test_nothing_is_random(tmp_path, gone):
    """A tensor that is not there, or one more, ends the run."""
    tiny.save_llava(tmp_path / "model", tiny.LLAVA["llama"])
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights[f"{gone}_"] = weights.pop(gone)
    save_file(weights, file)
    with pytest.raises(RunError, match=r"E610.*1 missing.*1 not used"):
        asked(opened(imported(tmp_path / "model"), tmp_path), chat=[user("hat", tiny.pictures(tmp_path)[0])])


def test_a_folder_without_weights_and_one_with_a_pickle(tmp_path):
    tiny.save_llava(tmp_path, tiny.LLAVA["llama"])
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"E605.*holds no .safetensors"):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"E604.*is a pickle"):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())

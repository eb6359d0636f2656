"""BLIP-2 with T5: the imported graph beside transformers; and T5 alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, imported, opened, rows

pytestmark = pytest.mark.parity
COUNT = 16
TEXT = {
    **{"vocab_size": tiny.VOCAB, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    **{"decoder_start_token_id": 3, "pad_token_id": 3, "eos_token_id": 2, "bos_token_id": 1},
}
CASES = {
    "flan": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "as converted": {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu", "tie_word_embeddings": False},
    "relu": {"feed_forward_proj": "relu", "num_decoder_layers": 1, "tie_word_embeddings": False},
}


def saved(folder: Path, text: dict[str, Any]) -> tuple[Any, Any]:
    """A tiny model with its processor, which pads on the right: else padding stands between image and text."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    words = tiny.tokenizer("<image>", bos=False)
    words.padding_side = "right"
    vision = {k: v for k, v in tiny.VISION.items() if k != "projection_dim"}
    qformer = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    qformer |= {"encoder_hidden_size": vision["hidden_size"], "vocab_size": 8, "max_position_embeddings": 8}
    config = transformers.Blip2Config(
        vision_config=vision,
        qformer_config=qformer,
        text_config={"model_type": "t5", **TEXT, **text},
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    pixels = BlipImageProcessorPil(size={"height": 28, "width": 28})
    processor = transformers.Blip2Processor(pixels, words, num_query_tokens=4)
    model = tiny.scrambled(transformers.Blip2ForConditionalGeneration(config))
    model.generation_config.update(eos_token_id=2, pad_token_id=3, decoder_start_token_id=3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    model, processor = saved(tmp_path / "model", CASES[name])
    graph, files = opened(imported(tmp_path / "model"), tmp_path), tiny.pictures(tmp_path, ((37, 64),) * 3)
    for count, texts in ((3, ["Question : what is this ?", "a", "the cat on"]), (1, ["w1 w2"])):
        images = [Image.open(file) for file in files[:count]]
        given = processor(text=texts, images=images, return_tensors="pt", padding=True)
        given["attention_mask"] = given["attention_mask"].long()
        found = asked(graph, image=files[:count], prompt=texts, max_new_tokens=COUNT)
        with torch.no_grad():
            said = model.generate(**given, max_new_tokens=COUNT, do_sample=False)[:, 1:].tolist()
        assert rows(found) == [row[: row.index(2) + 1] if 2 in row else row for row in said]


def test_t5_alone(tmp_path: Path) -> None:
    words = tiny.tokenizer(bos=False)
    config = transformers.T5Config(**TEXT, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model = tiny.scrambled(transformers.T5ForConditionalGeneration(config))
    model.save_pretrained(tmp_path / "model")
    words.save_pretrained(tmp_path / "model")
    graph, texts = opened(imported(tmp_path / "model"), tmp_path), ["the cat on", "a"]
    given = words(texts, return_tensors="pt", padding=True)
    found = asked(graph, prompt=texts, max_new_tokens=COUNT)
    said = model.generate(
        given["input_ids"], attention_mask=given["attention_mask"], max_new_tokens=COUNT, do_sample=False
    )[:, 1:].tolist()
    assert rows(found) == [row[: row.index(2) + 1] if 2 in row else row for row in said]

"""Tiny random checkpoints that transformers itself builds and saves, and our adaptors loaded from them."""

from __future__ import annotations

import torch
from safetensors.torch import load_file, save_file

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import as_foreign

CLIP = {
    **{"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2},
    **{"image_size": 8, "patch_size": 2, "projection_dim": 6},
}
LLAMA = {
    **{"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"vocab_size": 40, "num_key_value_heads": 1, "pad_token_id": 0},
}
OPT = {
    **{"hidden_size": 16, "ffn_dim": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40},
    **{"max_position_embeddings": 32, "word_embed_proj_dim": 16},
}
EVA = {
    **{"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"image_size": 8, "patch_size": 4},
}
QFORMER = {
    **{"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 4},
    **{"vocab_size": 30, "max_position_embeddings": 20, "encoder_hidden_size": 12},
}


def llava(name="Llava", **more):
    """LlavaForConditionalGeneration or LlavaNextForConditionalGeneration."""
    import transformers

    vision = transformers.CLIPVisionConfig(**{**CLIP, **more.pop("vision", {})})
    text = transformers.LlamaConfig(**LLAMA)
    config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=text, **more)
    return randomised(getattr(transformers, f"{name}ForConditionalGeneration")(config))


def blip2(name="ForConditionalGeneration", qformer=None, text=None, **more):
    """Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval."""
    import transformers

    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(**EVA),
        qformer_config=transformers.Blip2QFormerConfig(**{**QFORMER, **(qformer or {})}),
        text_config=text or transformers.OPTConfig(**OPT),
        **{"num_query_tokens": 5, "image_token_index": 39, **more},
    )
    return randomised(getattr(transformers, f"Blip2{name}")(config))


def idefics(perceiver=None, **more):
    """IdeficsForVisionText2Text."""
    import transformers

    vision = {
        **{"embed_dim": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"image_size": 8, "patch_size": 4},
    }
    sizes = {
        **{"vocab_size": 40, "additional_vocab_size": 2, "hidden_size": 16, "intermediate_size": 20},
        **{"num_hidden_layers": 2, "num_attention_heads": 2, "use_resampler": True, "vision_config": vision},
        "perceiver_config": {"use_resampler": True, **(perceiver or {})},
    }
    config = transformers.IdeficsConfig(**{**sizes, **more})
    return randomised(transformers.IdeficsForVisionText2Text(config))


def randomised(model):
    """Every weight away from its initial value; zeros and ones would hide what is wrong."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model.eval()


def saved(model, folder):
    """The file that save_pretrained writes."""
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def loaded(kind, config, file, prefix=""):
    """Our model, filled from a file by the layouts of its kind."""
    from mmm_graph.registry import resolve

    with torch.device("meta"):
        ours = resolve(kind.builder)(config)
    load_module(ours, open_checkpoint(file), prefix=prefix, layouts=kind.layouts, config=config)
    return ours.eval()


def ours_of(model):
    """Weights by their names in a file of ours."""
    return {name.removeprefix("parts."): value for name, value in model.state_dict().items()}


def put_back(model, kind, config, file, prefix=""):
    """Write what our model holds into their file, by the kind's first layout."""
    whole = load_file(file)
    mine = {
        prefix + k: v.contiguous() for k, v in as_foreign(ours_of(model), kind.layouts[0], config).items()
    }
    assert mine.keys() <= whole.keys()
    assert {k: whole[k].shape for k in mine} == {k: v.shape for k, v in mine.items()}
    save_file({**whole, **mine}, file, {"format": "pt"})


def run(model, path=None, **state):
    """Outputs of a model of parts."""
    from mmm_graph.nn.parts import run_parts

    with torch.no_grad():
        return run_parts(model.parts, path or model.path, state)


def close(got, want, tolerance=1e-5):
    assert got.shape == want.shape
    assert (got - want).abs().max() <= tolerance * max(1.0, float(want.abs().max()))

"""Entry point of the plugin `vlm`."""

from __future__ import annotations

from mmm_graph.registry import Importer, hookimpl

FOLDERS = {
    "LlavaForConditionalGeneration": "llava:import_llava",
    "LlavaNextForConditionalGeneration": "llava:import_llava_next",
    "LlavaLlamaForCausalLM": "llava_own:import_llava_own",
    "LlavaMistralForCausalLM": "llava_own:import_llava_own",
    "Blip2ForConditionalGeneration": "blip2:import_blip2",
    "IdeficsForVisionText2Text": "idefics:import_idefics",
    **dict.fromkeys(
        (
            *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
            *("OPTForCausalLM", "GPT2LMHeadModel", "T5ForConditionalGeneration"),
        ),
        "decoder:import_decoder",
    ),
    **dict.fromkeys(("gguf.llama", "gguf.qwen2", "gguf.qwen3"), "decoder:import_gguf"),
}
"""Class of theirs -> the function of this package."""


@hookimpl
def mmm_register_importers() -> list[Importer]:
    """One importer a class."""
    return [Importer(name, f"mmm_vlm.{function}") for name, function in FOLDERS.items()]

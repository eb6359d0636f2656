"""The node types tokenizer.hf, tokenizer.label and encoder.text."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_text.chat_config import ChatConfig, DecodeConfig, PromptConfig
from mmm_text.config import EncodeConfig, LabelConfig, TextEncoderConfig, TokenizerConfig
from mmm_text.foreign import LAYOUTS
from mmm_text.parts import encoder_parts, encoder_path, encoder_sharding, pooled_path

HF = model_type(
    "tokenizer.hf",
    TokenizerConfig,
    "mmm_text.tokenizer:HfTokenizer",
    methods={
        "encode": method(
            text="Text[b]",
            returns={"ids": "Ids[b,$length]", "mask": "Mask[b,$length]"},
            doc="Texts to ids, padded; a text that is too long is an error, or with truncate: true cut, or with "
            "chunk: true several windows.",
        ),
        "decode": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            config=DecodeConfig,
            returns={"text": "Text[b]"},
            doc="Ids to texts, without special tokens.",
        ),
        "chat": method(
            chat="Chat[b]",
            config=ChatConfig,
            returns={
                "ids": "Ids[b,t]",
                "mask": "Mask[b,t]",
                "labels": "Ids[b,t]",
                "images": "Image*[m,3,h,w]",
                "media_index": "Ids[b,t]",
                "audios": "Audio*[m,c,n]",
                "videos": "Video*[m,f,3,h,w]",
                "supervised": "Scalar[]",
            },
            doc="Conversations to ids by a chat template. labels are -100 but where the assistant speaks; supervised "
            "is the share of the others. media_index is -1 but at the one token that an image, audio or video has in "
            "the text: there it is its number, images of the whole batch first, then audios, then videos.",
        ),
        "prompt": method(
            text="Text[b]",
            config=PromptConfig,
            returns={"ids": "Ids[b,t]", "mask": "Mask[b,t]"},
            doc="Texts to ids as what a user says at the start of a conversation, which the model is to answer.",
        ),
    },
    weights=False,
    doc="A tokenizer.json of the tokenizers library, vocab.json and merges.txt of CLIP or GPT-2, or the tokenizer of a "
    "GGUF file; `weights:` names the file or the folder.",
)

LABEL = model_type(
    "tokenizer.label",
    LabelConfig,
    "mmm_text.label:LabelTokenizer",
    methods={
        "encode": method(
            text="Text[b]",
            returns={"label": "Ids[b]"},
            doc="The class whose word stands in the text; the empty text is the class after the last.",
        )
    },
    weights=False,
    doc="Class ids for prompts that name a class, for denoisers with num_classes.",
)

TEXT = model_type(
    "encoder.text",
    TextEncoderConfig,
    "mmm_text.model:TextEncoder",
    methods={
        "forward": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            config=EncodeConfig,
            returns={"embeds": "Embeds[b,t,$width]", "pooled": "Embeds[b,$pooled_dim]"},
            path=encoder_path,
            doc="Hidden states of the tokens, and one vector of the text.",
        ),
        "pooled": method(
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            returns={"pooled": "Embeds[b,$pooled_dim]"},
            path=pooled_path,
            doc="One vector of the text, projected where there is a projection, and not normalised.",
        ),
    },
    parts=encoder_parts,
    sharding=encoder_sharding,
    state={"h": "Embeds[b,t,$width]", "windows": "Ids[b,w]"},
    doc="A transformer over token ids; with the defaults, CLIP ViT-L/14's text encoder.",
    source="Radford et al. 2021 (arXiv:2103.00020)",
    layouts=LAYOUTS,
)


def text_nodes() -> list[ModelType]:
    """tokenizer.hf, tokenizer.label, encoder.text."""
    return [HF, LABEL, TEXT]

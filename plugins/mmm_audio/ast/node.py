"""The node type encoder.ast."""

from __future__ import annotations

from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.foreign import LAYOUTS
from mmm_audio.ast.parts import ast_parts, ast_sharding, classify_path, forward_path, hidden_path, pooled_path
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.registry import method, model_type

MEL = "Mel[b,$frames,$bins]"

AST = model_type(
    "encoder.ast",
    AstConfig,
    "mmm_audio.ast.model:AudioSpectrogramTransformer",
    methods={
        "forward": method(
            mel=MEL,
            returns={"embeds": "Embeds[b,$tokens,$width]", "pooled": "Embeds[b,$width]"},
            path=forward_path,
            doc="Spectrograms to the last hidden state after the final norm, and one vector each.",
        ),
        "pooled": method(
            mel=MEL,
            returns={"embeds": "Embeds[b,$width]"},
            path=pooled_path,
            doc="One vector of each spectrogram: the mean of the class and the distillation token.",
        ),
        "hidden": method(
            mel=MEL,
            config=HiddenConfig,
            returns={"embeds": "Embeds[b,$length,$width]"},
            path=hidden_path,
            doc="Features of the tokens after any block.",
        ),
        "classify": method(
            mel=MEL,
            returns={"logits": "Logits[b,$labels]"},
            path=classify_path,
            doc="A score for each label of the classifier.",
        ),
    },
    parts=ast_parts,
    sharding=ast_sharding,
    state={"h": "Embeds[b,l,$width]"},
    doc="A transformer over overlapping patches of a mel spectrogram; the defaults are the model of AudioSet.",
    source="Gong et al. 2021 (arXiv:2104.01778); transformers 5, ASTModel and ASTForAudioClassification",
    layouts=LAYOUTS,
)

"""Names of the weights: ours -> transformers' T5EncoderModel. `{i}` stands for a number; a row names a prefix."""

BLOCK = "encoder.block.{i}"
SHARED, TIED = "shared", "encoder.embed_tokens"
"""Two names of the token embedding: files have one of them or both."""

COMMON = {
    "bias.relative.table": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "block{i}.norm1": f"{BLOCK}.layer.0.layer_norm",
    "block{i}.attn.q": f"{BLOCK}.layer.0.SelfAttention.q",
    "block{i}.attn.k": f"{BLOCK}.layer.0.SelfAttention.k",
    "block{i}.attn.v": f"{BLOCK}.layer.0.SelfAttention.v",
    "block{i}.attn.out": f"{BLOCK}.layer.0.SelfAttention.o",
    "block{i}.norm2": f"{BLOCK}.layer.1.layer_norm",
    "block{i}.mlp.down": f"{BLOCK}.layer.1.DenseReluDense.wo",
    "norm.norm": "encoder.final_layer_norm",
}
PLAIN = {"block{i}.mlp.up": f"{BLOCK}.layer.1.DenseReluDense.wi"}
GATED = {
    "block{i}.mlp.gate": f"{BLOCK}.layer.1.DenseReluDense.wi_0",
    "block{i}.mlp.up": f"{BLOCK}.layer.1.DenseReluDense.wi_1",
}

DECODER = (
    *(
        "decoder.embed_tokens",
        "decoder.final_layer_norm",
        "lm_head",
        "decoder.block.{i}.layer.{j}.layer_norm",
    ),
    *(f"decoder.block.{{i}}.layer.0.SelfAttention.{name}" for name in ("q", "k", "v", "o")),
    *(f"decoder.block.{{i}}.layer.1.EncDecAttention.{name}" for name in ("q", "k", "v", "o")),
    "decoder.block.{i}.layer.0.SelfAttention.relative_attention_bias",
    "decoder.block.{i}.layer.1.EncDecAttention.relative_attention_bias",
    *(f"decoder.block.{{i}}.layer.2.DenseReluDense.{name}" for name in ("wi", "wi_0", "wi_1", "wo")),
)
"""In files of the whole T5, which an encoder is read from too."""

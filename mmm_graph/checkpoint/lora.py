"""A LoRA file -> its pairs of thin matrices by part (U-Net, text encoders ...) and by the module that they are for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmm_graph.checkpoint.reader import Checkpoint, open_checkpoint
from mmm_graph.errors import Place, RunError, problem

NET = "unet"
BARE = ""
PREFIXES = {
    **dict.fromkeys(("unet.", "transformer.", "diffusion_model.", "lora_unet_", "lora_transformer_"), NET),
    **dict.fromkeys(("text_encoder.", "lora_te_", "lora_te1_"), "text_encoder"),
    **dict.fromkeys(("text_encoder_2.", "lora_te2_"), "text_encoder_2"),
    **dict.fromkeys(("text_encoder_3.", "lora_te3_"), "text_encoder_3"),
}
"""How names begin -> part. After a prefix that ends with `_`, dots are underscores too (kohya's sd-scripts)."""
PEFT = "base_model.model."
ALIASES = {"transformer": NET, "te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}
"""Other words for a part, after `#`."""

HALVES = {
    "down": (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".lora.down.weight",
             ".lora_linear_layer.down.weight", "_lora.down.weight"),
    "up": (".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight", ".lora.up.weight",
           ".lora_linear_layer.up.weight", "_lora.up.weight"),
    "alpha": (".alpha",),
}  # fmt: skip
"""How names end: kohya's; PEFT's; diffusers' of several ages."""

OTHERS = {
    "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "hada_": "LoHa", "lokr_": "LoKr", "oft_": "OFT",
    "boft_": "BOFT", "ia3_": "IA3", "on_input": "IA3", "vera_": "VeRA", "lora_mid": "LoCon in Tucker form",
    "lora_embedding_": "LoRA of an embedding", "lora_E": "AdaLoRA", "ranknum": "AdaLoRA",
    "lora_B.bias": "LoRA with biases", "lora_B.default.bias": "LoRA with biases",
    "diff$": "whole differences", "diff_b$": "whole differences", "w_norm$": "weights of norms",
    "b_norm$": "weights of norms", "a1.weight": "GLoRA", "bundle_emb": "embeddings of words",
}  # fmt: skip
"""What begins a word of a tensor's name -> what kind of adapter it is of. None of them is a pair of thin matrices."""
OLD = {"to_out": "to_out.0"}
OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
"""What old attention processors are called -> the module: `attn1.processor.to_out_lora` is of `attn1.to_out.0`."""
CHANGED_WEIGHTS = ("pissa", "olora", "corda", "loftq")
"""Ways of PEFT to begin that change the model's own weights, which the file does not hold."""


@dataclass(frozen=True)
class Pair:
    """What one LoRA adds to one module.

    Attributes:
        module: its name, as the file says it, with dots or with underscores in their place.
        down, up, alpha: names of tensors; no alpha: that of the settings, else the rank.
    """

    module: str
    down: str
    up: str
    alpha: str | None = None


@dataclass(frozen=True)
class LoraFile:
    """An opened LoRA file.

    Attributes:
        parts: part -> its pairs; `BARE` where names do not say it.
        settings: part -> what PEFT's LoraConfig was, as far as the file says it.
    """

    checkpoint: Checkpoint
    parts: Mapping[str, tuple[Pair, ...]]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.checkpoint.path

    def factor(self, part: str, pair: Pair, alpha: float | None) -> float:
        """alpha / r; alpha / sqrt(r) where the settings say so. Source: Kalajdzievski 2023 (arXiv:2312.03732)."""
        rank, settings = self.checkpoint.shapes[pair.down][0], self.settings.get(part, {})
        if alpha is None:
            own = (v for name, v in _patterns(settings) if f".{pair.module}".endswith(f".{name}"))
            alpha = next(own, settings.get("lora_alpha"))
        if alpha is None:
            return 1.0
        return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def open_lora(path: Path, *, what: str = "LoRA", place: Place | None = None) -> LoraFile:
    """Read the names in a LoRA file, or in the folder that PEFT saved.

    Args:
        what: of which model, for errors.

    Raises:
        RunError: E604, a pickle; E605, unreadable; E630, it holds something else than LoRAs, or halves of them.
    """
    checkpoint = open_checkpoint(path)
    halves: dict[tuple[str, str], dict[str, str]] = {}
    strange: list[str] = []
    for name in checkpoint.shapes:
        found = split_name(name)
        if found is None:
            strange.append(name)
        else:
            half, key = found
            halves.setdefault(key, {})[half] = name
    settings = _settings(checkpoint)
    wrong = [*_strange(strange), *([] if strange else _broken(halves)), *_odd(settings)]
    if wrong or not halves:
        message = f"{what}: {checkpoint.path}: {'; '.join(wrong) or 'holds no LoRA weights'}"
        hint = "LoRAs of linear layers and convolutions can be used, in kohya's, PEFT's and diffusers' names"
        raise RunError(problem("E630", message, place, hint))
    parts: dict[str, list[Pair]] = {}
    for (part, module), names in halves.items():
        pair = Pair(module, names["down"], names["up"], names.get("alpha"))
        parts.setdefault(part, []).append(pair)
    return LoraFile(checkpoint, {part: tuple(pairs) for part, pairs in parts.items()}, settings)


def split_name(name: str) -> tuple[str, tuple[str, str]] | None:
    """(half, (part, module)) of a tensor's name; None: it is no LoRA's."""
    for half, ends in HALVES.items():
        for end in ends:
            if name.endswith(end):
                return half, _module(name.removesuffix(end), is_old=end.startswith("_"))
    return None


def _module(name: str, *, is_old: bool) -> tuple[str, str]:
    name = name.removeprefix(PEFT)
    prefix = next((p for p in PREFIXES if name.startswith(p)), "")
    part, module = PREFIXES.get(prefix, BARE), name.removeprefix(prefix).replace(".processor.", ".")
    if is_old or module.endswith("_lora"):
        head, _, leaf = module.removesuffix("_lora").rpartition(".")
        table = OLD_TEXT if part.startswith("text_encoder") else OLD
        module = f"{head}.{table.get(leaf, leaf)}"
    return part, module


def _strange(names: list[str]) -> Iterator[str]:
    """What is in the file that is no LoRA."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind = next((k for word, k in OTHERS.items() if re.search(rf"(^|\.){word}", name)), "no LoRA")
        kinds.setdefault(kind, []).append(name)
    for kind, found in kinds.items():
        yield f"{len(found)} tensors are {kind}, which cannot be used ({some(found)})"


def _broken(halves: Mapping[tuple[str, str], Mapping[str, str]]) -> Iterator[str]:
    """Pairs that are not whole."""
    for half, other in (("down", "up"), ("up", "down")):
        found = [names[half] for names in halves.values() if half in names and other not in names]
        if found:
            yield f"{len(found)} without the other half, `{other}` ({some(found)})"
    alone = [names["alpha"] for names in halves.values() if "up" not in names and "down" not in names]
    if alone:
        yield f"{len(alone)} alphas of nothing ({some(alone)})"


def _settings(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """Part -> PEFT's LoraConfig: in the header, where diffusers writes it, or in the adapter_config.json beside."""
    text = checkpoint.metadata.get("lora_adapter_metadata")
    beside = checkpoint.path.with_name("adapter_config.json")
    if text is None:
        is_peft = checkpoint.path.stem == "adapter_model" and beside.is_file()
        found = _mapping(beside.read_text(encoding="utf-8"), beside) if is_peft else {}
        return {BARE: found} if found else {}
    settings: dict[str, dict[str, Any]] = {}
    for key, value in _mapping(text, checkpoint.path).items():
        part, module = _module(key, is_old=False)
        settings.setdefault(part, {})[module] = value
    return settings


def _mapping(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RunError(problem("E605", f"the settings of the LoRA in {path} are no JSON: {error}")) from error
    if not isinstance(found, dict):
        raise RunError(problem("E605", f"the settings of the LoRA in {path} are no mapping"))
    return found


def _odd(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What the settings say that this is beside a LoRA."""
    for part, said in settings.items():
        where = f" of {part}" if part else ""
        method, begin = str(said.get("peft_type") or "LORA"), str(said.get("init_lora_weights") or "")
        if method.upper().rpartition(".")[2] != "LORA":
            yield f"the settings{where} say {method}, which cannot be used"
        alphas = {"lora_alpha": said.get("lora_alpha"), **dict(_patterns(said))}
        for key, alpha in alphas.items():
            if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
                yield f"the settings{where} say {key} {alpha!r}, which is no number"
        for key, kind in (("use_dora", "DoRA"), ("lora_bias", "LoRA with biases")):
            if said.get(key):
                yield f"the settings{where} say {kind}, which cannot be used"
        if begin.lower().startswith(CHANGED_WEIGHTS):
            yield f"the settings{where} say init_lora_weights {begin}, which changes the model's own weights too"


def _patterns(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(end of a module's name, alpha). Theirs may be regular expressions; those that save them write plain names."""
    patterns = settings.get("alpha_pattern")
    for name, alpha in patterns.items() if isinstance(patterns, Mapping) else ():
        yield str(name).removeprefix("^"), alpha


def some(names: list[str], shown: int = 4) -> str:
    """The first few of them."""
    return ", ".join(names[:shown]) + (f", and {len(names) - shown} more" if len(names) > shown else "")

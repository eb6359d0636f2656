"""Training beside open_clip and transformers: the same sizes, weights, batches and optimiser, in one process.

    python benchmarks/train.py [--steps 8] [--rounds 3] [--threads 2] [--only clip,llava] [--json]

`clip`: two towers and InfoNCE, beside open_clip's CLIP and ClipLoss in a plain loop. `llava`: the first stage of LLaVA
(vision tower and language model frozen, the projector learns), with a tower of the sizes of CLIP ViT-B/16 and a decoder
of those of SmolLM2-135M, beside a plain loop over transformers' LLaVA; once as it is, once with `cache: memory` from
the second epoch on. Data lies in memory on both sides. Rounds alternate; a round trains anew, and its first steps are
not counted. Both start from the same weights and see other batches. Ratios are of a round: ours / peer in seconds for a
step, below 1 is faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tools import corpora
from torch import Tensor
from torch.utils.data import DataLoader

from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train

WARM_UP = 2
"""Steps of a round that are not counted."""
ADAMW = {"lr": 1e-4, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.0}


class Round(NamedTuple):
    """First loss, and seconds of each step that counts."""

    loss: float
    steps_s: list[float]


Side = Callable[[], Round]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="clip,llava")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only.split(","):
            for case, ours, peer in CASES[name](Path(folder), args.steps + WARM_UP):
                rows.append(measure(case, ours, peer, args.rounds))
    report(rows, args)


def measure(case: str, ours: Side, peer: Side, rounds: int) -> dict[str, Any]:
    """A row: medians of the steps of each round, and of the ratios."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    a, b = ([statistics.median(pair[side].steps_s) for pair in pairs] for side in (0, 1))
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    found = [pairs[0][side].loss for side in (0, 1)]
    row: dict[str, Any] = {"name": case, "ours_s": statistics.median(a), "peer_s": statistics.median(b)}
    return row | {
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "first_loss": found,
    }


# CLIP beside open_clip

CLIP = corpora.PairsConfig(batch=32, count=512, size=112, length=32, vocab=4096)
TOWERS = {"width": 384, "layers": 6, "words": 256, "heads": 4, "patch": 16, "out": 256}


def clip_cases(folder: Path, steps: int) -> Iterator[tuple[str, Side, Side]]:
    """One pair, if open_clip is installed."""
    if find_spec("open_clip") is None:
        raise SystemExit("pip install open_clip_torch, or leave it out: --only llava")
    from open_clip import CLIP as TheirClip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    vision = {"image_size": CLIP.size, "layers": TOWERS["layers"], "width": TOWERS["width"],
              "patch_size": TOWERS["patch"], "head_width": 64}  # fmt: skip
    text = {"context_length": CLIP.length, "vocab_size": CLIP.vocab, "width": TOWERS["words"],
            "heads": TOWERS["heads"], "layers": TOWERS["layers"]}  # fmt: skip
    theirs = TheirClip(TOWERS["out"], vision, text)
    start = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    save_file(
        {n: t.contiguous() for n, t in start.items() if t.dtype == torch.float32}, folder / "clip.safetensors"
    )
    yield "clip", lambda: run_ours(clip_tree(folder), folder, steps), lambda: clip_loop(theirs, start, steps)


def clip_tree(folder: Path) -> dict[str, Any]:
    """The same towers, from the same file."""
    weights = f"file:{folder}/clip.safetensors"
    vision = {"size": CLIP.size, "patch": TOWERS["patch"], "width": TOWERS["width"], "depth": TOWERS["layers"],
              "num_heads": TOWERS["width"] // 64, "hidden": 4 * TOWERS["width"], "activation": "gelu",
              "out_dim": TOWERS["out"]}  # fmt: skip
    words = {"vocab_size": CLIP.vocab, "max_length": CLIP.length, "width": TOWERS["words"], "depth": TOWERS["layers"],
             "num_heads": TOWERS["heads"], "hidden": 4 * TOWERS["words"], "activation": "gelu", "pool": "argmax",
             "projection": True, "pooled_dim": TOWERS["out"]}  # fmt: skip
    stage = {
        "data": {"op": "data.bench_pairs", "config": CLIP.model_dump()},
        "nodes": {
            "seen": {"call": "vision.pooled", "in": {"image": "$data.image"}},
            "texts": {"call": "words.pooled", "in": {"ids": "$data.ids"}},
            "t": {"call": "scale"},
            "pairs": {"op": "loss.info_nce", "in": {"image": "seen", "text": "texts", "scale": "t"}},
        },
        "loss": {"pairs": "pairs"},
        "train": {"vision": "full", "words": "full", "scale": "full"},
        "optim": {"op": "optim.adamw", "config": ADAMW},
    }
    models = {
        "vision": {"kind": "encoder.vit", "weights": f"{weights}#visual", "config": vision},
        "words": {"kind": "encoder.text", "weights": weights, "config": words},
        "scale": {"kind": "projector.temperature", "weights": weights},
    }
    return {"mmm": 1, "models": models, "train": {"stages": {"bench": stage}}}


def clip_loop(model: Any, start: Mapping[str, Tensor], steps: int) -> Round:
    """open_clip as its own loop trains it, on one process and in float32."""
    from open_clip import ClipLoss

    model.load_state_dict(start)
    model.train()
    loss_of, optimiser = ClipLoss(), adamw(model.parameters())

    def step(batch: Mapping[str, Tensor]) -> Tensor:
        loss: Tensor = loss_of(*model(batch["image"], batch["ids"]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        return loss.detach()

    return plain_loop(corpora.Pairs(CLIP), CLIP.batch, steps, step)


# LLaVA's first stage beside transformers

LLAVA = corpora.AnswersConfig(batch=4, count=16, size=224, length=32, vocab=49152)


def llava_cases(folder: Path, steps: int) -> Iterator[tuple[str, Side, Side]]:
    """Two pairs: with and without a cache of what the frozen tower makes."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    vision = CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                              image_size=LLAVA.size, patch_size=16)  # fmt: skip
    text = LlamaConfig(vocab_size=LLAVA.vocab, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                       num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=1024)  # fmt: skip
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=1)
    )
    model.save_pretrained(folder / "llava")
    start = {name: tensor.clone() for name, tensor in model.model.multi_modal_projector.state_dict().items()}

    def peer() -> Round:
        return llava_loop(model, start, steps)

    epoch = LLAVA.count // LLAVA.batch
    yield "llava, stage 1", lambda: run_ours(llava_tree(folder), folder, steps), peer
    cached = llava_tree(folder, cache="memory")
    yield "llava, stage 1, cached", lambda: run_ours(cached, folder, epoch + steps, skip=epoch), peer


def llava_tree(folder: Path, **more: Any) -> dict[str, Any]:
    """The same models, read from the folder that transformers wrote."""
    at = f"file:{folder}/llava"
    vision = {"size": 224, "patch": 16, "width": 768, "depth": 12, "num_heads": 12, "hidden": 3072}
    llm = {"vocab_size": LLAVA.vocab, "width": 576, "depth": 30, "num_heads": 9, "num_kv_heads": 3, "hidden": 1536,
           "max_length": 1024, "eps": 1e-6}  # fmt: skip
    stage = {
        "data": {"op": "data.bench_answers", "config": LLAVA.model_dump()},
        "nodes": {
            "features": {"call": "vision.hidden", "in": {"image": "$data.image"},
                         "config": {"layer": -2, "norm": False, "select": "patch"}},
            "soft": {"call": "bridge", "in": {"features": "features"}},
            "words": {"call": "llm.embed", "in": {"ids": "$data.ids"}},
            "ctx": {"op": "embeds.prepend", "in": {"text": "words", "insert": "soft", "labels": "$data.labels"}},
            "ce": {"op": "loss.language", "use": {"llm": "llm"}, "in": {"embeds": "ctx", "labels": "ctx.labels"}},
        },
        "loss": {"ce": "ce"},
        "train": {"bridge": "full"},
        "optim": {"op": "optim.adamw", "config": ADAMW},
        **more,
    }  # fmt: skip
    models = {
        "vision": {"kind": "encoder.vit", "weights": f"{at}#vision_tower", "config": vision},
        "bridge": {"kind": "adaptor.mlp", "weights": f"{at}#multi_modal_projector",
                   "config": {"in_dim": 768, "out_dim": 576}},
        "llm": {"kind": "llm.decoder", "weights": f"{at}#language_model", "config": llm},
    }  # fmt: skip
    return {"mmm": 1, "models": models, "train": {"stages": {"bench": stage}}}


def llava_loop(model: Any, start: Mapping[str, Tensor], steps: int) -> Round:
    """The first stage as one writes it by hand."""
    model.requires_grad_(False).train()
    model.model.multi_modal_projector.load_state_dict(start)
    model.model.multi_modal_projector.requires_grad_(True)
    optimiser, tokens = adamw(model.model.multi_modal_projector.parameters()), (LLAVA.size // 16) ** 2

    def step(batch: Mapping[str, Tensor]) -> Tensor:
        places = torch.full((len(batch["ids"]), tokens), 1)
        ids = torch.cat([places, batch["ids"]], 1)
        labels = torch.cat([torch.full_like(places, -100), batch["labels"]], 1)
        found = model(
            input_ids=ids, pixel_values=batch["image"], labels=labels, attention_mask=torch.ones_like(ids)
        )
        optimiser.zero_grad()
        found.loss.backward()
        optimiser.step()
        loss: Tensor = found.loss.detach()
        return loss

    return plain_loop(corpora.Answers(LLAVA), LLAVA.batch, steps, step)


# Both sides


def run_ours(tree: dict[str, Any], folder: Path, steps: int, skip: int = 0) -> Round:
    """Train with our trainer; the time of a step is that between two of its events."""
    stage = {**tree["train"]["stages"]["bench"], "steps": steps}
    spec = load_spec({**tree, "train": {"stages": {"bench": stage}}}, base=folder)
    registry = load_registry(extra_files=[corpora.__file__])
    times, losses = [], []

    def listen(event: TrainEvent) -> None:
        if event.kind in ("stage_start", "step"):
            times.append(time.perf_counter())
        if event.kind == "step":
            losses.append(event.data["loss"])

    with tempfile.TemporaryDirectory() as out:
        train(spec, registry, Path(out), options=TrainOptions(log_every=1), on_event=listen)
    seconds = [b - a for a, b in pairwise(times)]
    return Round(losses[0], seconds[skip + WARM_UP :])


def plain_loop(data: Any, batch: int, steps: int, step: Callable[[Mapping[str, Tensor]], Tensor]) -> Round:
    """Shuffled batches through `step`; its loss is read, as a log does it."""
    losses, seconds = [], []
    loader = endless(DataLoader(data, batch, shuffle=True, generator=torch.Generator().manual_seed(0)))
    for _ in range(steps):
        start = time.perf_counter()
        losses.append(step(next(loader)).item())
        seconds.append(time.perf_counter() - start)
    return Round(losses[0], seconds[WARM_UP:])


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


def adamw(params: Any) -> torch.optim.AdamW:
    """The optimiser of both sides."""
    return torch.optim.AdamW(params, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)


def report(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """A table, or one JSON object."""
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": args.threads,
        "torch": torch.__version__,
    }
    if args.json:
        print(json.dumps({"rows": rows, "machine": machine}))
        return
    print(f"{machine}, {args.rounds} rounds of {args.steps} steps")
    print(f"{'':26}{'ours ms':>9}{'peer ms':>9}{'ratio':>7}   spread        first loss of both")
    for row in rows:
        low, high = row["spread"]
        losses = " ".join(f"{loss:.4f}" for loss in row["first_loss"])
        speeds = f"{1e3 * row['ours_s']:9.1f}{1e3 * row['peer_s']:9.1f}"
        print(f"{row['name']:26}{speeds}{row['ratio']:7.2f}   {low:.2f} to {high:.2f}  {losses}")


CASES: Mapping[str, Callable[[Path, int], Iterator[tuple[str, Side, Side]]]] = {
    "clip": clip_cases,
    "llava": llava_cases,
}


if __name__ == "__main__":
    main()

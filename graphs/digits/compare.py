"""Trains and measures the comparisons of docs/digits_that_read.md: `python graphs/digits/compare.py losses` prints one.

Trainings are those of the graph files, each into a folder of its own; what is there already is not trained again, and
what was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZES = {"adaptor.qformer": "{num_queries: 16, width: 96, depth: 2, num_heads: 4, hidden: 384}",
         "adaptor.perceiver": "{num_latents: 16, depth: 2, num_heads: 4, head_dim: 24}"}  # fmt: skip


class Training(NamedTuple):
    """Stages of a graph, and what is set in it; `after` is a training whose models it starts from."""

    graph: str
    stages: str
    sets: Mapping[str, str] = {}
    after: str = ""


def adaptor(kind: str) -> Training:
    """Both stages of vlm.yaml with an adaptor."""
    sizes = {"models.bridge.config": SIZES[kind]} if kind in SIZES else {}
    return Training("vlm", "align,tune", {"adaptor": kind, **sizes}, after="language")


TRAININGS = {
    **{stage: Training("clip", stage) for stage in (
        "contrast", "masked", "repeated", "siglip", "triplet", "triplet_images")},
    "classifier": Training("classifier", "probe,supervised"),
    "language": Training("vlm", "language"),
    **{kind: adaptor(f"adaptor.{kind}") for kind in ("linear", "mlp", "qformer", "perceiver")},
    "gated": Training("vlm_gated", "align,tune"),
    "together": Training("vlm", "together", after="language"),
}  # fmt: skip
LOSSES = {
    "contrast": "InfoNCE, soft targets",
    "masked": "InfoNCE, repeats left out",
    "repeated": "InfoNCE, repeats are negatives",
    "siglip": "SigLIP",
    "triplet": "triplets, picture and caption",
    "triplet_images": "triplets, pictures among themselves too",
}
ADAPTORS = {
    "linear": ("linear (LLaVA)", 16),
    "mlp": ("MLP (LLaVA-1.5)", 16),
    "qformer": ("Q-Former (BLIP-2), 16 queries", 16),
    "gated": ("perceiver and gated cross-attention (Flamingo)", 0),
}
"""What a row is called, and how many tokens of the text stand for a canvas."""


def main() -> None:
    """Train what is missing, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("out/compare"), help="folder of the trainings; from the root"
    )
    args = parser.parse_args()
    for row in TABLES[args.table](args.out):
        print("| " + " | ".join(row) + " |")


def losses(out: Path) -> list[Sequence[str]]:
    """CLIP with each of the losses."""
    rows: list[Sequence[str]] = [
        ("loss", "zero-shot", "unseen templates", "caption of picture", "picture of caption"),
        ("---",) * 5,
    ]
    for name, label in LOSSES.items():
        found = trained(out, name)[name]["metrics"]
        keys = ("zero_shot.accuracy", "unseen_templates.accuracy", "retrieval.caption_of_picture",
                "retrieval.picture_of_caption")  # fmt: skip
        rows.append((label, *(percent(found[key]) for key in keys)))
    return rows


def readers(out: Path) -> list[Sequence[str]]:
    """Zero-shot beside what knows the ten classes only."""
    plain = trained(out, "classifier")
    found = trained(out, "contrast")["contrast"]["metrics"]
    none = "cannot be asked"
    return [
        ("", "unseen digits", "asked in unseen phrasings"),
        ("---",) * 3,
        ("encoder and ten classes, trained from the start",
         percent(plain["supervised"]["metrics"]["supervised.accuracy"]), none),
        ("ten classes on the frozen tower of CLIP", percent(plain["probe"]["metrics"]["probe.accuracy"]), none),
        ("CLIP, zero-shot", percent(found["zero_shot.accuracy"]), percent(found["unseen_templates.accuracy"])),
    ]  # fmt: skip


def adaptors(out: Path) -> list[Sequence[str]]:
    """The adaptors of a vision-language model, after the first stage and after both."""
    rows: list[Sequence[str]] = [
        ("adaptor", "tokens in the text", "after `align`", "after both", "weights trained in `align`", "in `tune`",
         "s a step of `align`", "of `tune`"),
        ("---",) * 8,
    ]  # fmt: skip
    for name, (label, tokens) in ADAPTORS.items():
        found = trained(out, name)
        stages = [found["align"], found["tune"]]
        rows.append(
            (
                label,
                str(tokens),
                *(percent(stage["metrics"]["exact.match"]) for stage in stages),
                *(
                    f"{sum(numbers(ROOT / out / name, model) for model in stage['models']):,}"
                    for stage in stages
                ),
                *(f"{stage['seconds'] / stage['steps']:.2f}" for stage in stages),
            )
        )
    last = trained(out, "together")["together"]
    seconds = f"{last['seconds'] / last['steps']:.2f}"
    rows.append(
        ("MLP, all from the start", "16", "", percent(last["metrics"]["exact.match"]), "", "", "", seconds)
    )
    return rows


TABLES = {"losses": losses, "readers": readers, "adaptors": adaptors}


def trained(out: Path, name: str) -> Mapping[str, Any]:
    """The record of a training in the folder out/name, which is done if it is not there."""
    training, folder = TRAININGS[name], ROOT / out / name
    if training.after and not folder.exists():
        trained(out, training.after)
        shutil.copytree(ROOT / out / training.after, folder)
    record = folder / "train.json"
    done = json.loads(record.read_text())["stages"] if record.exists() else {}
    if set(training.stages.split(",")) - set(done):
        sets = [word for key, value in training.sets.items() for word in ("--set", f"{key}={value}")]
        launch(training.graph, out / name, "--stages", training.stages, *sets, "--resume")
        done = json.loads(record.read_text())["stages"]
    stages: Mapping[str, Any] = done
    return stages


def launch(graph: str, out: Path, *words: str) -> None:
    """Train a graph of this folder as the shipped weights were.

    Raises:
        SystemExit: it failed, and has said why.
    """
    file = (HERE / f"{graph}.yaml").relative_to(ROOT)  # no machine path in the record
    command = ["train", str(file), *words, "-o", str(out), "--seed", "0", "--dtype", "f16"]
    status = subprocess.run([sys.executable, "-m", "mmm_graph", *command], check=False, cwd=ROOT).returncode
    if status:
        raise SystemExit(status)


def numbers(folder: Path, model: str) -> int:
    """How many numbers a model has."""
    with safe_open(folder / f"{model}.safetensors", "pt") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - no mapping
    return sum(math.prod(size) for size in sizes)


def percent(share: float) -> str:
    """`97.9 %`."""
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()

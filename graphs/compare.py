"""Trains and measures comparisons of docs/digits_that_read.md and docs/world.md: `python graphs/compare.py losses`.

Trainings are those of the graph files, each into a folder of its own; what is there already is not trained again, and
what was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from trainings import ROOT, Stages, Training, numbers
from trainings import trained as run

SIZES = {"adaptor.qformer": "{num_queries: 16, width: 96, depth: 2, num_heads: 4, hidden: 384}",
         "adaptor.perceiver": "{num_latents: 16, depth: 2, num_heads: 4, head_dim: 24}"}  # fmt: skip


def adaptor(kind: str) -> Training:
    """Both stages of vlm.yaml with an adaptor."""
    sizes = {"models.bridge.config": SIZES[kind]} if kind in SIZES else {}
    return Training("digits/vlm", "align,tune", {"adaptor": kind, **sizes}, after="language")


MEDIA = ("image", "audio", "video")
SENSES = ("see", "watch", "listen")
SENSE_SIZES = {"adaptor.qformer": "{num_queries: 8, width: 64, depth: 2, num_heads: 4, hidden: 128}",
               "adaptor.grouping": "{groups: [8], depths: [2], width: 64, num_heads: 4, hidden: 128}"}  # fmt: skip


def senses(kind: str) -> Training:
    """What turns pictures, videos and sounds into embeds of the decoder of any_to_any.yaml."""
    sets = {f"models.{sense}.kind": kind for sense in SENSES}
    if kind in SENSE_SIZES:
        sets |= {f"models.{sense}.config": SENSE_SIZES[kind] for sense in SENSES}
    return Training("world/any_to_any", "encode", sets, after="world_language")


def signals(count: int) -> Training:
    """So many tokens to say that a medium is wanted; with two, as in the file, the decoder's own training serves."""
    if count == 2:
        return Training("world/any_to_any", "decode", ALONE, after="world_language")
    sets = {"models.tok.config": f"{{pad_side: left, signals: {{image: {count}, audio: {count}, video: {count}}}}}",
            "models.llm.config.vocab_size": str(88 + 3 * count),
            "eval.making.nodes.say.config.max_new_tokens": str(2 + 2 * count)}  # fmt: skip
    return Training("world/any_to_any", "language,decode", {**sets, **ALONE})


def without(term: str) -> Training:
    """One of the two losses of projectors is only watched."""
    stages, after = (("decode",), "world_language") if term == "gen" else (("language", "decode"), "")
    sets = {
        f"train.stages.{stage}.loss.{term}_{medium}": f"{{from: {medium}.{term}, weight: 0}}"
        for stage in stages
        for medium in MEDIA
    }
    return Training("world/any_to_any", ",".join(stages), {**sets, **ALONE}, after)


ALONE = {"train.stages.decode.init_from": "null"}
"""What reads media was not trained before."""
TRAININGS = {
    **{stage: Training("digits/clip", stage) for stage in (
        "contrast", "masked", "repeated", "siglip", "triplet", "triplet_images")},
    "classifier": Training("digits/classifier", "probe,supervised"),
    "language": Training("digits/vlm", "language"),
    **{kind: adaptor(f"adaptor.{kind}") for kind in ("linear", "mlp", "qformer", "perceiver")},
    "gated": Training("digits/vlm_gated", "align,tune"),
    "together": Training("digits/vlm", "together", after="language"),
    "world_language": Training("world/any_to_any", "language"),
    **{f"world_{kind}": senses(f"adaptor.{kind}") for kind in ("linear", "mlp", "qformer", "grouping")},
    **{f"signals_{count}": signals(count) for count in (1, 2, 4, 8)},
    **{f"without_{term}": without(term) for term in ("align", "gen")},
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
SENSE_ROWS = {
    "linear": ("linear (LLaVA)", "17, 68, 12"),
    "mlp": ("MLP (LLaVA-1.5)", "17, 68, 12"),
    "qformer": ("Q-Former (BLIP-2)", "8, 32, 8"),
    "grouping": ("grouping of patches (NExT-GPT)", "8, 32, 8"),
}
SIGNAL_ROWS = {
    **{f"signals_{count}": (str(count), "distance, diffusion") for count in (1, 2, 4, 8)},
    "without_gen": ("2", "distance alone"),
    "without_align": ("2", "diffusion alone"),
}


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


def senses_table(out: Path) -> list[Sequence[str]]:
    """The adaptors of the digit world, after `encode`."""
    rows: list[Sequence[str]] = [
        ("adaptor", "embeds for a picture, video, sound", *(f"{medium} → text" for medium in MEDIA),
         "weights of the three"),
        ("---",) * 6,
    ]  # fmt: skip
    for kind, (label, embeds) in SENSE_ROWS.items():
        stage = trained(out, f"world_{kind}")["encode"]
        right = (percent(stage["metrics"][f"seeing.correct[{medium}->text]"]) for medium in MEDIA)
        weights = sum(numbers(ROOT / out / f"world_{kind}", model) for model in SENSES)
        rows.append((label, embeds, *right, f"{weights:,}"))
    return rows


def signals_table(out: Path) -> list[Sequence[str]]:
    """How many signal tokens a medium has, and what projectors are trained by, after `decode`."""
    rows: list[Sequence[str]] = [
        ("signal tokens", "losses", *(f"text → {medium}" for medium in MEDIA),
         *(f"distance, {medium}" for medium in MEDIA)),
        ("---",) * 8,
    ]  # fmt: skip
    for name, (count, losses) in SIGNAL_ROWS.items():
        stage = trained(out, name)["decode"]
        right = (percent(stage["metrics"][f"making.correct[text->{medium}]"]) for medium in MEDIA)
        away = (f"{stage['loss'][f'loss.align_{medium}']:.3f}" for medium in MEDIA)
        rows.append((count, losses, *right, *away))
    return rows


TABLES = {
    "losses": losses, "readers": readers, "adaptors": adaptors, "senses": senses_table, "signals": signals_table,
}  # fmt: skip


def trained(out: Path, name: str) -> Stages:
    """The record of one of TRAININGS."""
    return run(TRAININGS, out, name)


def percent(share: float) -> str:
    """`97.9 %`."""
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()

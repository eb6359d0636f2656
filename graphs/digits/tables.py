"""Measures the tables of docs/digits.md and docs/parallel.md: `python graphs/digits/tables.py samplers` prints one."""

from __future__ import annotations

import argparse
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Registry, load_registry, resolve
from mmm_graph.spec import GraphSpec, load_spec
from mmm_graph.spec.plan_file import NamedPlan, find_plan
from mmm_graph.train.evaluate import evaluate
from mmm_graph.train.options import EvalOptions, TrainOptions
from mmm_graph.train.record import read_records, write_records
from mmm_graph.train.trainer import train

HERE = Path(__file__).resolve().parent
Table = tuple[Sequence[str], Sequence[Sequence[str]]]
SAMPLERS = dict.fromkeys(("ddim", "ddpm", "euler", "dpmpp_2m"), "trailing") | {"heun": "leading"}
"""Sampler -> spacing; Heun's second order cannot use the last time, whose signal is all but gone."""
STEPS = (5, 10, 20, 50, 100, 1000)
LONG = ("ddim", "ddpm")  # the ones that are asked for 1000 steps
BATCH = 100  # drawings at once
PROBE = 40  # steps that a training step is timed over
SIZES = {"S": (64, 4), "M": (128, 6), "L": (192, 8)}
"""DiT width and depth; M is the shipped one."""
STALE = {
    "dit": ("displaced2", "pipe2", "cfg2_pipe2", "pipe2_ulysses2", "pipe2_patch2"),
    "ldm": ("displaced2",),
}
"""Graph -> its plans that read what is one evaluation old."""
GROUP_NORMS = ("sync", "stale", "corrected", "separate")
WARMUPS = (1, 2, 4, "all")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/tables"), help="folder for trainings")
    parser.add_argument("--per-class", type=int, default=50, help="samples of each digit")
    parser.add_argument("--train-steps", type=int, default=2000, help="of each DiT")
    parser.add_argument(
        "--minutes", type=float, nargs="*", default=[1, 2, 4], help="of training, pixel_latent"
    )
    args = parser.parse_args()
    registry = load_registry()
    print_table(*TABLES[args.table](registry, args))
    print(
        f"\n{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def samplers(registry: Registry, args: argparse.Namespace) -> Table:
    """The shipped ldm without guidance: accuracy / distance to the nearest training image / seconds for 100."""
    rows: list[Sequence[str]] = []
    for steps in sorted(STEPS, reverse=True):
        cells = [str(steps)]
        for sampler, spacing in SAMPLERS.items():
            if steps > 100 and sampler not in LONG:
                cells.append("")
                continue
            sets = {"steps": str(steps), "sampler": f"sampler.{sampler}", "spacing": spacing}
            sets["guidance_scale"] = "1"
            metrics, seconds = judge(registry, "ldm", sets, args)
            accuracy, distance = metrics["quality.accuracy"], metrics["quality.nearest_neighbour"]
            per_100_s = 10 * seconds / args.per_class
            cells.append(f"{100 * accuracy:.1f} % / {distance:.3f} / {per_100_s:.1f} s")
        rows.append(cells)
    return ("steps", *SAMPLERS), rows


def dit_sizes(registry: Registry, args: argparse.Namespace) -> Table:
    """Three sizes of DiT after equally many steps."""
    rows: list[Sequence[str]] = []
    for name, (width, depth) in SIZES.items():
        sets = {"models.dit.config.width": str(width), "models.dit.config.depth": str(depth)}
        sets["train.stages.diffusion.steps"] = str(args.train_steps)
        spec = load_spec(HERE / "dit.yaml", sets=sets)
        record = train(spec, registry, args.out / f"dit-{name}", options=TrainOptions())["diffusion"]
        cost = model_cost(spec, registry, "dit")
        accuracy = record.metrics["quality.accuracy"]
        rows.append(
            (f"{name} ({width} x {depth})", f"{cost['params'] / 1e6:.2f}", f"{cost['flops'] / 1e9:.4f}",
             f"{record.loss['loss']:.4f}", f"{100 * accuracy:.1f} %", f"{record.seconds / record.steps * 1e3:.0f}")
        )  # fmt: skip
    return ("DiT (width x depth)", "M params", "GFLOPs", "loss", "accuracy", "ms a step"), rows


def pixel_latent(registry: Registry, args: argparse.Namespace) -> Table:
    """The same minutes of training on pixels and in the latent space; the autoencoder's counted, or not."""
    columns = ("graph", "values an image", "GFLOPs an evaluation", "ms a training step", "ms an image")
    rows: list[Sequence[str]] = []
    for name, values, stages in (("ddpm", 32 * 32, ()), ("ldm", 8 * 8 * 4, ("vae",))):
        base = args.out / name
        spec = load_spec(HERE / f"{name}.yaml", sets={"train.stages.diffusion.steps": str(PROBE)})
        records = train(spec, registry, base, options=TrainOptions(resume=True))
        step_s = records["diffusion"].seconds / PROBE
        before_s = sum(records[stage].seconds for stage in stages)
        _, seconds = judge(registry, name, {}, args)
        cost = model_cost(spec, registry, "unet")["flops"] / 1e9
        image_ms = 1e3 * seconds / (10 * args.per_class)
        numbers = (str(values), f"{cost:.3f}", f"{1e3 * step_s:.0f}", f"{image_ms:.0f}")
        for spent_s, label in {
            before_s: name,
            0.0: f"{name}, its autoencoder given" if stages else name,
        }.items():
            cells = []
            for minutes in args.minutes:
                steps = int((60 * minutes - spent_s) / step_s)
                out = args.out / f"{name}-{minutes:g}-{spent_s:.0f}"
                cells.append(train_for(name, registry, (base, out), steps, args) if steps > 0 else "-")
            rows.append((label, *numbers, *cells))
    return (*columns, *(f"accuracy after {m:g} min" for m in args.minutes)), rows


def stale_plans(registry: Registry, args: argparse.Namespace) -> Table:
    """Digits under plans that read old values: accuracy / PSNR against one device, by synchronous evaluations."""
    rows: list[Sequence[str]] = []
    for name, plans in STALE.items():
        spec = load_spec(HERE / f"{name}.yaml")
        exact, labels = draw(registry, name, None, args)
        rows.append((f"{name}, one device", f"{100 * score(registry, exact, labels):.1f} %", "", "", ""))
        for label, plan in variants(spec, plans):
            cells = []
            for warmup in WARMUPS:
                images, _ = draw(registry, name, warmed(plan, warmup), args)
                accuracy, psnr = score(registry, images, labels), compare(registry, images, exact)
                cells.append(f"{100 * accuracy:.1f} % / {psnr:.1f} dB")
            rows.append((f"{name}, {label}", *cells))
    return ("plan", *(f"warmup {w}" for w in WARMUPS)), rows


def variants(spec: GraphSpec, names: Iterable[str]) -> Iterator[tuple[str, NamedPlan]]:
    """Plans of a file by label; a U-Net's displaced patches with each way to merge the statistics of group norms."""
    for name in names:
        plan = find_plan(spec, name)
        patch = plan.spec.axes.get("unet", {}).get("patch")
        if patch is None:
            yield f"`{name}`", plan
            continue
        for mode in GROUP_NORMS:
            axes = {"unet": {"patch": patch.model_copy(update={"group_norm": mode})}}
            changed = plan.spec.model_copy(update={"axes": axes})
            yield f"`{name}`, group norm {mode}", plan._replace(spec=changed)


def warmed(plan: NamedPlan, warmup: int | str) -> NamedPlan:
    """The plan with so many synchronous evaluations."""
    loops = {k: loop.model_copy(update={"warmup": warmup}) for k, loop in plan.spec.loops.items()}
    return plan._replace(spec=plan.spec.model_copy(update={"loops": loops}))


def draw(
    registry: Registry, name: str, plan: NamedPlan | None, args: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Images [n,1,h,w] and labels [n] of the prompts of `eval: quality`; drawing i has seed i. Ranks are threads."""
    session = mmm.load(HERE / f"{name}.yaml", registry=registry, plan=plan)
    kind = registry.data["data.digit_prompts"]
    data = resolve(kind.builder)(kind.config(per_class=args.per_class))  # type: ignore[call-arg]
    rows = [data[i] for i in range(len(data))]
    images = []
    for first in range(0, len(rows), BATCH):
        prompts = [row["prompt"] for row in rows[first : first + BATCH]]
        seeds = list(range(first, first + len(prompts)))
        images.append(session.run(prompt=prompts, seed=seeds, outputs=["image"])["image"])
    return torch.cat(images), torch.stack([row["label"] for row in rows])


def score(registry: Registry, images: Tensor, labels: Tensor) -> float:
    """Share of the digits that the classifier of `eval: quality` recognises."""
    op = registry.ops["metric.digit_accuracy"]
    return float(resolve(op.function)(images, labels, op.config())["mean"])


def compare(registry: Registry, images: Tensor, targets: Tensor) -> float:
    """Mean PSNR [dB]; 100 where nothing differs."""
    return float(resolve(registry.ops["metric.psnr"].function)(images, targets)["mean"])


def judge(
    registry: Registry, name: str, sets: Mapping[str, str], args: argparse.Namespace
) -> tuple[dict[str, float], float]:
    """Metrics of `eval: quality` of a graph, and the seconds it took."""
    sets = {"eval.quality.data.config.per_class": str(args.per_class), **sets}
    spec = load_spec(HERE / f"{name}.yaml", sets=sets)
    begin = time.perf_counter()
    return evaluate(spec, registry, "quality", options=EvalOptions()), time.perf_counter() - begin


def train_for(
    name: str, registry: Registry, folders: tuple[Path, Path], steps: int, args: argparse.Namespace
) -> str:
    """Accuracy after so many steps of `diffusion`; stages before it are taken from the first folder."""
    base, out = folders
    if not out.exists():
        shutil.copytree(base, out, ignore=shutil.ignore_patterns("diffusion.*"))
    sets = {
        "train.stages.diffusion.steps": str(steps),
        "eval.quality.data.config.per_class": str(args.per_class),
    }
    spec = load_spec(HERE / f"{name}.yaml", sets=sets)
    write_records(out, {k: v for k, v in read_records(out).items() if k != "diffusion"})
    record = train(spec, registry, out, options=TrainOptions(resume=True))["diffusion"]
    return f"{100 * record.metrics['quality.accuracy']:.1f} % ({steps} steps)"


def model_cost(spec: GraphSpec, registry: Registry, name: str) -> dict[str, float]:
    """Weights, and multiply-adds x 2 of one evaluation, from the table of parts."""
    node = compile_graph(spec, registry).models[name]
    parts: Iterable[Any] = registry.models[node.kind].parts(node.config)  # type: ignore[misc]
    table = list(parts)
    return {"params": sum(p.params for p in table), "flops": sum(p.flops for p in table)}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As Markdown."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")


TABLES = {
    "samplers": samplers,
    "dit_sizes": dit_sizes,
    "pixel_latent": pixel_latent,
    "stale_plans": stale_plans,
}

if __name__ == "__main__":
    main()

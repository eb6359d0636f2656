"""Generators beside diffusers: the same weights, noise, prompt and threads, in one process.

    python benchmarks/denoisers.py [--only unet,dit] [--rounds 3] [--steps 4] [--threads N] [--compile] [--json]

512 x 512 pixels, batch 1, with guidance. Each pipeline is built by diffusers with random weights, saved, and imported
as `mmm import` does; both must give the same latents. Rounds alternate. `step` is the denoising loop alone, per step,
texts given; `first` is a picture from its prompt; `next` is another picture of the same prompt. Ratios are of a round:
ours / diffusers, below 1 is faster; the table gives their median and spread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tools.pipelines import CASES, Case, draw_weights

import mmm_graph
from mmm_graph.api.convert import import_graph
from mmm_graph.api.session import Session
from mmm_graph.registry import load_registry

SIDE = 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--parts", default="step,first,next")
    parser.add_argument(
        "--cpu", action="store_true", help="count CPU seconds of the process, for a busy machine"
    )
    parser.add_argument("--compile", action="store_true", help="both denoisers by torch.compile")
    parser.add_argument(
        "--profile", action="store_true", help="where the time of one round goes, by operation"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, CASES[name], Path(folder), args)
    report(rows, args)


def measure(name: str, case: Case, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one pipeline."""
    torch.manual_seed(0)
    peer = case.build(folder / "tokenizer")
    draw_weights(peer)
    peer.set_progress_bar_config(disable=True)
    peer.save_pretrained(folder / "pipeline")
    made = import_graph(str(folder / "pipeline"), folder / "graph.yaml", load_registry())
    if args.compile:
        made.tree["models"][made.tree["nodes"]["denoise"]["use"]["denoiser"]]["compile"] = True
        setattr(peer, case.net, torch.compile(getattr(peer, case.net)))
    session = mmm_graph.load(made.tree, base=folder)
    sides = Sides(case, peer, session, args.steps)
    error = sides.difference()
    if args.compile:
        error = (
            sides.difference()
        )  # what the first calls have taught the compiler is compiled in the second ones
    if args.profile:
        sides.profile()
    rows = []
    for what, ours, theirs, per in (
        ("step", sides.our_loop, sides.their_loop, args.steps),
        ("first", sides.our_first, sides.their_image, 1),
        ("next", sides.our_next, sides.their_image, 1),
    ):
        if what not in args.parts.split(","):
            continue
        now = time.process_time if args.cpu else time.perf_counter
        times = [(clock(ours, now), clock(theirs, now)) for _ in range(args.rounds)]
        ratios = [a / b for a, b in times]
        rows.append(
            {
                "name": f"{name} {what}",
                "ours_s": statistics.median(a for a, _ in times) / per,
                "peer_s": statistics.median(b for _, b in times) / per,
                "ratio": statistics.median(ratios),
                "spread": [min(ratios), max(ratios)],
                "difference": error,
            }
        )
    return rows


class Sides:
    """What is timed: both sides of one case. Every call has noise of its own: nothing of a loop is remembered."""

    def __init__(self, case: Case, peer: Any, session: Session, steps: int) -> None:
        self.case, self.peer, self.session, self.turn = case, peer, session, 0
        size = {"height": SIDE, "width": SIDE}
        self.inputs = {**case.ours, **size, "steps": steps}
        self.arguments = {**case.theirs, **(size if case.sized else {}), "num_inference_steps": steps}
        self.embeds = self._their_embeds() if case.sized else {}

    def our_loop(self) -> torch.Tensor:
        return self._run("denoise.latents", self.inputs)

    def our_next(self) -> torch.Tensor:
        return self._run("image", self.inputs)

    def our_first(self) -> torch.Tensor:
        """A prompt that was never seen."""
        new = {"prompt": f"{self.inputs['prompt']} {self.turn}"} if self.embeds else {}
        return self._run("image", {**self.inputs, **new})

    @torch.no_grad()
    def their_loop(self) -> torch.Tensor:
        given = {k: v for k, v in self.arguments.items() if "prompt" not in k or not self.embeds}
        if not self.embeds:
            return self._dit_latents()
        return self.peer(**given, **self.embeds, **self._start(), output_type="latent").images

    @torch.no_grad()
    def their_image(self) -> Any:
        return self.peer(**self.arguments, **self._start(), output_type="np").images

    def difference(self) -> float:
        """Largest difference of the latents, over the largest of them; also the warm-up of both."""
        ours = self.our_loop()
        self.turn -= 1
        theirs = self.their_loop()
        if type(self.peer).__name__ == "FluxPipeline":
            theirs = self.peer._unpack_latents(theirs, SIDE, SIDE, self.peer.vae_scale_factor)
        return float((ours - theirs).abs().max() / theirs.abs().max())

    def profile(self) -> None:
        """Both loops, operation by operation."""
        for what, run in (("ours", self.our_loop), ("diffusers", self.their_loop)):
            with torch.profiler.profile() as found:
                run()
            print(f"== {what}")
            print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=14))

    def _dit_latents(self) -> torch.Tensor:
        """DiTPipeline always decodes: its latents are caught where the decoder would get them."""
        caught, decode = [], self.peer.vae.decode
        self.peer.vae.decode = lambda x: caught.append(x) or SimpleNamespace(sample=x)
        try:
            self.peer(**self.arguments, **self._start())
        finally:
            self.peer.vae.decode = decode
        return caught[0] * self.peer.vae.config.scaling_factor

    def _run(self, output: str, inputs: Mapping[str, Any]) -> torch.Tensor:
        return self.session.run(**inputs, supply={"noise": self._noise()}, outputs=[output])[output]

    def _noise(self) -> torch.Tensor:
        self.turn += 1
        drawn = torch.Generator().manual_seed(self.turn)
        return torch.randn(1, self.case.channels, SIDE // 8, SIDE // 8, generator=drawn)

    def _start(self) -> dict[str, Any]:
        noise, name = self._noise(), type(self.peer).__name__
        if name == "DiTPipeline":  # it draws its own noise
            return {"generator": torch.Generator().manual_seed(self.turn)}
        packed = self.peer._pack_latents(noise, *noise.shape) if name == "FluxPipeline" else noise
        return {"latents": packed}

    @torch.no_grad()
    def _their_embeds(self) -> dict[str, Any]:
        """The texts as the pipeline itself encodes them, for the loop alone."""
        name, text = type(self.peer).__name__, self.arguments["prompt"]
        if name == "FluxPipeline":
            embeds, pooled, _ = self.peer.encode_prompt(text, None)
            return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
        words = {"negative_prompt": self.arguments["negative_prompt"], "do_classifier_free_guidance": True}
        if name == "StableDiffusion3Pipeline":
            keys = (
                "prompt_embeds",
                "negative_prompt_embeds",
                "pooled_prompt_embeds",
                "negative_pooled_prompt_embeds",
            )
            return dict(zip(keys, self.peer.encode_prompt(text, None, None, **words), strict=True))
        found = self.peer.encode_prompt(text, "cpu", 1, **words)
        return dict(zip(("prompt_embeds", "negative_prompt_embeds"), found, strict=True))


def clock(run: Callable[[], Any], now: Callable[[], float]) -> float:
    """Seconds that it takes."""
    start = now()
    run()
    return now() - start


def report(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """A table, or one JSON object."""
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": args.threads,
        "torch": torch.__version__,
    }
    if args.json:
        print(json.dumps({"rows": rows, "machine": machine, "compiled": args.compile}))
        return
    print(f"{machine}, {'compiled' if args.compile else 'eager'}, {args.steps} steps, {args.rounds} rounds")
    print(f"{'':16}{'ours s':>9}{'peer s':>9}{'ratio':>8}   spread        difference of latents")
    for row in rows:
        low, high = row["spread"]
        print(
            f"{row['name']:16}{row['ours_s']:9.2f}{row['peer_s']:9.2f}{row['ratio']:8.2f}"
            f"   {low:.2f} to {high:.2f}  {row['difference']:.1e}"
        )


if __name__ == "__main__":
    main()

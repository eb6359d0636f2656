"""Trains shipped weights again, with fixed seeds: `python graphs/train.py [-o DIR] [NAME ...]`."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from compare import TRAININGS
from trainings import HERE, ROOT, Training, trained

import mmm_graph as mmm

WEIGHTS = {
    "digits": {
        **{name: Training(f"digits/{name}") for name in ("ldm", "dit", "ddpm")},
        "clip": TRAININGS["contrast"],
        **{name: TRAININGS[name] for name in ("classifier", "language")},
        "vlm": TRAININGS["mlp"],
    },
    "world": {
        **{name: Training(f"world/{name}") for name in ("tone", "film")},
        "any": Training("world/any_to_any"),
        "draw": Training("world/llm_to_draw"),
    },
}
"""Folder of graphs -> folder of weights -> the training that makes them; each may use those before it."""
KEPT = (".safetensors", ".png", ".csv", "train.json")
LORA = ".lora.safetensors"


def main() -> None:
    """Train graphs, put their weights and curves beside them, and print the time that it took."""
    folder_of = {name: folder for folder, trainings in WEIGHTS.items() for name in trainings}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("out/train"), help="for checkpoints; a path from the root"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(folder_of)}; default: all")
    args = parser.parse_args()
    if unknown := set(args.names) - set(folder_of):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(folder_of)}")
    begin = time.perf_counter()
    for name in args.names or folder_of:
        trainings = WEIGHTS[folder_of[name]]
        trained({**trainings, **TRAININGS}, args.out, name)
        keep(ROOT / args.out / name, HERE / folder_of[name] / "weights" / name)
        print(f"{name}: done after {(time.perf_counter() - begin) / 60:.1f} minutes")


def keep(out: Path, target: Path) -> None:
    """Copy weights, LoRAs merged into them, loss curves and the record of a training; checkpoints stay behind."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(out.iterdir()):
        if file.is_file() and file.name.endswith(KEPT) and not file.name.endswith(LORA):
            shutil.copyfile(file, target / file.name)
    if adapted := [file.name.removesuffix(LORA) for file in out.glob(f"*{LORA}")]:
        attach = {
            f"models.{name}.attach": f'[{{lora: "file:{name}{LORA}", merge: true}}]' for name in adapted
        }
        mmm.load(out / "graph.yaml", sets=attach).save(out / "merged")
        for name in adapted:
            shutil.copyfile(out / "merged" / f"{name}.safetensors", target / f"{name}.safetensors")


if __name__ == "__main__":
    main()

"""Trains the weights of graphs/digits again, with fixed seeds: `python graphs/digits/train.py [-o DIR]`."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import compare

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DRAW = ("ldm", "dit", "ddpm")  # dit uses the autoencoder and the text encoder of ldm
READ = {"clip": "contrast", "classifier": "classifier", "language": "language", "vlm": "mlp"}
"""Folder of weights -> the training of compare.py that makes them; each may use those before it."""
KEPT = (".safetensors", ".png", ".csv", "train.json")


def main() -> None:
    """Train every graph, put its weights and curves beside the graphs, and print the time that it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("out/train"), help="for checkpoints; a path from the root"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join((*DRAW, *READ))}; default: all")
    args = parser.parse_args()
    if unknown := set(args.names) - {*DRAW, *READ}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join((*DRAW, *READ))}")
    begin = time.perf_counter()
    for name in args.names or (*DRAW, *READ):
        if name in DRAW:
            compare.launch(name, args.out / name)
        else:
            compare.trained(args.out, READ[name])
        keep(ROOT / args.out / READ.get(name, name), HERE / "weights" / name)
        print(f"{name}: done after {(time.perf_counter() - begin) / 60:.1f} minutes")


def keep(out: Path, target: Path) -> None:
    """Copy weights, loss curves and the record of a training; checkpoints stay behind."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(out.iterdir()):
        if file.is_file() and file.name.endswith(KEPT):
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main()

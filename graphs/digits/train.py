"""Trains the weights of graphs/digits again, with fixed seeds: `python graphs/digits/train.py [-o DIR]`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GRAPHS = ("ldm", "dit", "ddpm")  # dit uses the autoencoder and the text encoder of ldm
KEPT = (".safetensors", ".png", ".csv", "train.json")


def main() -> None:
    """Train every graph, put its weights and curves beside the graphs, and print the time that it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("out/train"), help="for checkpoints; a path from the root"
    )
    parser.add_argument("graphs", nargs="*", metavar="GRAPH", help="ldm, dit, ddpm; default: all")
    args = parser.parse_args()
    begin = time.perf_counter()
    for name in args.graphs or GRAPHS:
        out = args.out / name
        graph = (HERE / f"{name}.yaml").relative_to(ROOT)  # no machine path in the record
        command = ["train", str(graph), "-o", str(out), "--seed", "0", "--dtype", "f16"]
        subprocess.run([str(Path(sys.executable).with_name("mmm")), *command], check=True, cwd=ROOT)
        keep(ROOT / out, HERE / "weights" / name)
        print(f"{name}: done after {(time.perf_counter() - begin) / 60:.1f} minutes")


def keep(out: Path, target: Path) -> None:
    """Copy weights, loss curves and the record of a training; checkpoints stay behind."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(out.iterdir()):
        if file.is_file() and file.name.endswith(KEPT):
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main()

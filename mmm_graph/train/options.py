"""How to train and to evaluate: what the command line asks for beside the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmm_graph.spec.plan_file import NamedPlan


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        device: "cpu", "cuda", "cuda:1" ...
        seed: of starts, shuffling and noise.
        resume: skip finished stages and go on from the checkpoint of an unfinished one; False starts anew.
        dtype: of the weights in MODEL.safetensors: f32, or f16 or bf16 for small files.
        log_every: steps between rows of metrics.csv; a row holds means over them.
        tensorboard: also write OUT/tensorboard.
        command: what the user typed, for train.json.
        workers: processes that read data; None = as each stage says.
        cache_dir: of `cache: disk`, to be shared by trainings into several folders; None = OUT/cache.
    """

    device: str = "cpu"
    seed: int = 0
    resume: bool = False
    dtype: str = "f32"
    log_every: int = 10
    tensorboard: bool = False
    command: str = ""
    cache_dir: Path | None = None
    workers: int | None = None


@dataclass(frozen=True)
class EvalOptions:
    """How to evaluate.

    Attributes:
        device: of the models.
        seed: of everything random; noise is keyed by (seed, evaluation) and the sample's index.
        weights: folder whose MODEL.safetensors replace the file's own weights.
        plan: who does what; its ranks are threads of this process. None = one device.
    """

    device: str = "cpu"
    seed: int = 0
    weights: Path | None = None
    plan: NamedPlan | None = None

"""What the ranks of test_two_ranks_* do, each in a process: graph_ranks.py OUT CASES.json; and one process alone."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from mmm_graph.errors import Cancelled, MmmError
from mmm_graph.registry import load_registry
from mmm_graph.runtime.launch import launch
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher, report_problems
from mmm_graph.spec import load_spec
from mmm_graph.train import trainer
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.ranks import ALONE, Ranks

DIGITS = Path(__file__).resolve().parents[2] / "graphs" / "digits"


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        folder: of what it writes; one that goes on has that of the one before.
        graph: file of graphs/digits.
        stop: the step before which it is stopped, over all stages; 0 = it is not.
    """

    folder: str
    graph: str
    stages: Sequence[str]
    sets: Mapping[str, str] = field(default_factory=dict)
    stop: int = 0
    resume: bool = False


def run(out: Path, case: Case, ranks: Ranks = ALONE) -> None:
    """Train."""
    torch.set_num_threads(1)
    asked = itertools.count()
    spec = load_spec(DIGITS / case.graph, sets=case.sets)
    options = TrainOptions(log_every=1, resume=case.resume)
    with suppress(Cancelled) if case.stop else nullcontext():
        trainer.train(
            spec,
            load_registry(),
            out / case.folder,
            stages=case.stages,
            options=options,
            ranks=ranks,
            cancel=lambda: next(asked) == case.stop and case.stop > 0,
        )


def run_ranks(out: Path, ranks: int, cases: Sequence[Case]) -> MmmError | None:
    """Train one case after the other in so many processes; the error of one that fails."""
    errors: list[MmmError] = []
    file = out / f"cases{ranks}.json"
    file.write_text(json.dumps([asdict(case) for case in cases]))
    command = [sys.executable, "-m", "tests.train.graph_ranks", str(out), str(file)]
    launch(command, ranks, 60.0, tell=errors.append, env={"OMP_NUM_THREADS": "1"})
    return errors[0] if errors else None


def main() -> None:
    """As one rank."""
    follow_launcher()
    # Curves take longer than the trainings here; tests/train/test_curve.py draws them.
    trainer._draw = lambda *_: None  # type: ignore[assignment]
    out, cases = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    try:
        with ProcessWorld.from_env(60.0) as world:
            for case in cases:
                run(out, Case(**case), Ranks(world.rank, world.size))
    except MmmError as error:
        if not report_problems(error):
            raise
        sys.exit(error.status)


if __name__ == "__main__":
    main()

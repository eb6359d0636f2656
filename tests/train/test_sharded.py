"""Checkpoints as folders, and what a kill in the middle of writing leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.train.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, save_checkpoint
from mmm_graph.train.ranks import ALONE
from mmm_graph.train.sharded import STATE, load_sharded, save_sharded, sharded_path

WRITER = """\
import sys
from pathlib import Path
import torch
from mmm_graph.train.checkpoint import Checkpoint, save_checkpoint
from mmm_graph.train.ranks import ALONE
from mmm_graph.train.sharded import save_sharded
path = Path(sys.argv[1])
for step in range(1, 10**6):
    tensors = {f"model/w{i}": torch.full((100_000,), float(step)) for i in range(8)}
    point = Checkpoint("fit", step, 0, tensors=tensors)
    save_sharded(path, point, ALONE) if sys.argv[2] == "folder" else save_checkpoint(path, point)
    print(step, flush=True)
"""


def point(step: int) -> Checkpoint:
    tensors = {"model/w": torch.arange(6.0).view(2, 3) + step, "optim/w/step": torch.tensor(float(step))}
    return Checkpoint("fit", step, 3, {"seed": "3"}, {"seconds": 1.5}, tensors)


def test_round_trip(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, "fit")
    save_checkpoint(path, point(1)) if path.parent.mkdir(parents=True) is None else None
    for step in (4, 12):
        folder = save_sharded(path, point(step), ALONE)
    assert sharded_path(path) == folder and not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["fit-00000012"]
    found = load_sharded(folder)
    assert (found.stage, found.step, found.seed) == ("fit", 12, 3) and found.counters == {"seconds": 1.5}
    assert found.part("model")["w"].equal(point(12).tensors["model/w"])
    assert found.tensors["optim/w/step"].equal(torch.tensor(12.0))


def test_a_folder_without_its_state_does_not_count(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, "fit")
    assert sharded_path(path) is None
    whole = save_sharded(path, point(4), ALONE)
    broken = whole.with_name("fit-00000009")
    broken.mkdir()
    assert sharded_path(path) == whole
    (broken / STATE).write_text("{")
    with pytest.raises(RunError, match=r"E830.*fit-00000009"):
        load_sharded(broken)


def test_the_same_step_is_written_beside_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a training goes on and is stopped at once."""
    path = checkpoint_path(tmp_path, "fit")
    first = save_sharded(path, point(4), ALONE)
    with monkeypatch.context() as broken:
        broken.setattr("mmm_graph.train.sharded.write_text", lambda *_: 1 / 0)  # the moment of a kill
        with pytest.raises(ZeroDivisionError):
            save_sharded(path, point(4), ALONE)
    assert sharded_path(path) == first and load_sharded(first).tensors["model/w"].equal(
        point(4).tensors["model/w"]
    )
    for _ in range(3):
        folder = save_sharded(path, point(4), ALONE)
        assert sharded_path(path) == folder and list(path.parent.iterdir()) == [folder]


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    folder = save_sharded(checkpoint_path(tmp_path, "fit"), point(4), ALONE)
    shard = next(folder.glob("*.safetensors"))
    shard.rename(folder / "elsewhere")
    with pytest.raises(RunError, match=rf"E830.*{shard.name} is missing"):
        load_sharded(folder)


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_kill_while_writing_leaves_the_one_before(tmp_path: Path, form: str) -> None:
    path = checkpoint_path(tmp_path, "fit")
    path.parent.mkdir(parents=True)
    command = [sys.executable, "-c", WRITER, str(path), form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        done = int(writer.stdout.readline())
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
        done = max([done, *map(int, writer.stdout.read().split())])
    folder = sharded_path(path)
    found = load_checkpoint(path) if folder is None else load_sharded(folder)
    assert found.step >= done
    assert all(t.eq(found.step).all() for t in (found.tensors[f"model/w{i}"] for i in range(8)))

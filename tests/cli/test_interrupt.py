"""Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmm_graph.cli.interrupt import cancel_on_interrupt


def test_the_first_asks_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with cancel_on_interrupt() as cancel:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("verb", ["run", "requests", "eval", "train", "json"])
def test_a_command_ends_with_130_and_no_half_written_file(tiny: Path, tiny_text: str, verb: str) -> None:
    tiny.write_text(tiny_text.replace("steps: 3", "steps: 1000000").replace("batch: 180", "batch: 1"))
    Path("r.jsonl").write_text('{"prompt": "zero"}\n' * 2)
    words = {
        "run": [
            "run",
            "tiny.yaml",
            "--set",
            "steps=1000",
            "--set",
            "prompt=[" + "one, " * 99 + "one]",
            "--json",
        ],
        "requests": ["run", "tiny.yaml", "--set", "steps=1000", "--requests", "r.jsonl", "--json"],
        "eval": ["eval", "tiny.yaml", "--json"],
        "train": ["train", "tiny.yaml", "-o", "out", "--json"],
        "json": ["run", "tiny.yaml", "--set", "steps=1000", "--json"],
    }[verb]
    command = [sys.executable, "-c", "from mmm_graph.cli.main import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert first.startswith("{")
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert '"event": "error", "status": 130' in out
    left = [p.name for p in Path().rglob("*") if p.is_file() and p.name not in ("tiny.yaml", "r.jsonl")]
    assert sorted(left) == (["diffusion.safetensors", "metrics.csv"] if verb == "train" else [])

"""`mmm run --plan`: ranks as threads, as processes, under torchrun's environment, and what they are refused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageChops

from tests.cli.conftest import Mmm

ROOT = Path(__file__).parents[2]
DIT, LDM = (str(ROOT / "graphs" / "digits" / f"{name}.yaml") for name in ("dit", "ldm"))
EXACT = {
    DIT: ("cfg2", "data2", "patch2", "ulysses2", "ring2", "tensor2", "pipe2_batch2"),
    LDM: ("cfg2", "patch2", "cfg2_patch2", "stages3"),
}
STALE = {
    DIT: ("displaced2", "cfg2_pipe2", "pipe2_ulysses2", "pipe2_patch2"),
    LDM: ("displaced2",),
}


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mmm_graph", *words]
    return subprocess.Popen(
        command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(*words: str, cwd: Path) -> tuple[int, str, str]:
    process = start(*words, cwd=cwd)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def ranks_of(file: str, plan: str) -> int:
    ranks: int = yaml.safe_load(Path(file).read_text())["parallel"]["plans"][plan]["ranks"]
    return ranks


def in_f64(file: str) -> list[str]:
    own = "unet" if file == LDM else "dit"
    return [w for m in ("text", "vae", own) for w in ("--set", f"models.{m}.dtype=f64")]


def children(pid: int) -> list[int]:
    """Processes that a process has started, oldest first."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(map(int, found))


@pytest.mark.dist
@pytest.mark.parametrize(
    ("file", "plan"),
    [
        (LDM, "stages3"),
        pytest.param(DIT, "pipe2", marks=pytest.mark.slow),
        *(
            pytest.param(file, plan, marks=pytest.mark.slow)
            for file, plans in STALE.items()
            for plan in plans
        ),
    ],
)
def test_processes_give_the_files_of_threads(file: str, plan: str, tmp_path: Path) -> None:
    """And a picture that a plan made is made again by the same plan, bit for bit."""
    ranks = ranks_of(file, plan)
    common = ("run", file, "--set", "steps=4", "--threads", "1", "--plan", plan)
    for words in (("--nproc", str(ranks), "-o", "a"), ("--emulate", "-o", "b")):
        status, _, err = run(*common, *words, cwd=tmp_path)
        assert (status, err) == (0, "")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(names) == 11 and names == sorted(p.name for p in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    status, _, err = run("run", "a/sheet.png", "-o", "c", "--threads", "1", cwd=tmp_path)
    assert status == 0, err
    assert (tmp_path / "c" / "sheet.png").read_bytes() == (tmp_path / "a" / "sheet.png").read_bytes()


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize(("file", "plan"), [(file, plan) for file, plans in EXACT.items() for plan in plans])
def test_exact_plans_give_the_pixels_of_one_process(file: str, plan: str, tmp_path: Path) -> None:
    ranks = ranks_of(file, plan)
    one = ("run", file, "--threads", "1", *in_f64(file), "-o", "one")
    many = (*one[:-1], "many", "--plan", plan, "--nproc", str(ranks))
    for words in (one, many):
        status, _, err = run(*words, cwd=tmp_path)
        assert status == 0, err
    pictures = [Image.open(tmp_path / folder / "sheet.png") for folder in ("one", "many")]
    assert ImageChops.difference(*pictures).getbbox() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--plan", "pipe2"], ["E524", "plan pipe2 has 2 ranks, there is 1", "--nproc 2"]),
        (["--plan", "pipe2", "--nproc", "3"], ["E524", "has 2 ranks, there are 3"]),
        (["--nproc", "2"], ["E524", "a run without --plan has 1 rank, there are 2"]),
        (["--plan", "pipe2", "--nproc", "2", "--emulate"], ["E524", "--emulate"]),
        (["--plan", "pipe3", "--nproc", "3"], ["E523", "no plan 'pipe3'", "pipe2"]),
        (["--plan", "no.yaml#x", "--emulate"], ["E101", "no.yaml"]),
        (["--plan", "cfg2", "--emulate", "--set", "guidance_scale=1"], ["E514", "one of 1 branches"]),
    ],
)
def test_what_is_refused(words: Sequence[str], said: Sequence[str], mmm: Mmm, tmp_path: Path) -> None:
    done = mmm("run", DIT, "-o", tmp_path / "out", *words)
    assert done.status == 2 and not done.out
    assert all(part in done.err for part in said), done.err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.dist
def test_a_plan_beside_the_file(tmp_path: Path) -> None:
    plans = "parallel:\n  plans:\n    mine: {ranks: 2, pipe: {dit: 2}, loops: {denoise: {patches: 4}}}\n"
    (tmp_path / "p.yaml").write_text(plans)
    for name in ("p.yaml#mine", "p.yaml"):
        words = ("run", DIT, "--set", "steps=2", "--plan", name, "--emulate", "--threads", "1")
        status, _, err = run(*words, cwd=tmp_path)
        assert status == 0, err
    status, _, err = run("run", "out/sheet.png", "-o", "again", "--threads", "1", cwd=tmp_path)
    assert status == 0, err
    assert (tmp_path / "again" / "sheet.png").read_bytes() == (tmp_path / "out" / "sheet.png").read_bytes()


def kill_one(seed: int, tmp_path: Path) -> None:
    """Kill a rank at some moment; the run ends with one message, and nothing is left."""
    drawn = random.Random(seed)
    plan, ranks = drawn.choice([("pipe2", 2), ("patch2", 2), ("displaced2", 2), ("cfg2_pipe2", 4)])
    words = ("run", DIT, "--set", "steps=1000", "--plan", plan, "--nproc", str(ranks), "--timeout", "20")
    process = start(*words, cwd=tmp_path)
    while len(children(process.pid)) < ranks and process.poll() is None:
        time.sleep(0.05)
    time.sleep(drawn.uniform(0.0, 8.0))
    pids = children(process.pid)
    victim = drawn.randrange(ranks)
    os.kill(pids[victim], signal.SIGKILL)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 1, (plan, victim, err)
    assert f"rank {victim} was killed by signal 9" in err and err.count("error[") == 1, (plan, victim, err)
    assert not out and not any(Path(f"/proc/{pid}").exists() for pid in pids), "a rank is left behind"
    assert not list(tmp_path.glob("out/*")), "a half-written file"


@pytest.mark.dist
def test_a_killed_rank_ends_the_run(tmp_path: Path) -> None:
    kill_one(1, tmp_path)


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_killed_ranks(tmp_path: Path) -> None:
    for seed in range(20):
        kill_one(seed, tmp_path)


@pytest.mark.dist
def test_a_rank_that_stands_still_ends_the_run(tmp_path: Path) -> None:
    words = ("run", DIT, "--set", "steps=1000", "--plan", "pipe2", "--nproc", "2", "--timeout", "4")
    process = start(*words, cwd=tmp_path)
    while len(children(process.pid)) < 2:
        time.sleep(0.05)
    time.sleep(8)
    pids = children(process.pid)
    os.kill(pids[1], signal.SIGSTOP)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and time.monotonic() - began < 30
    assert err.count("error[") == 1 and "E720" in err and "rank 1" in err, err
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.dist
def test_ctrl_c_ends_all_ranks(tmp_path: Path) -> None:
    process = start("run", DIT, "--set", "steps=1000", "--plan", "pipe2", "--nproc", "2", cwd=tmp_path)
    while len(children(process.pid)) < 2:
        time.sleep(0.05)
    time.sleep(5)
    pids = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "E730" in err and "Traceback" not in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

"""The program as a whole: exit statuses, and what it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import mmm_graph
from mmm_graph.cli.main import cli
from tests.cli.conftest import Mmm

WITHOUT_TORCH = [
    ["check", "tiny.yaml"], ["show", "tiny.yaml"], ["show", "tiny.yaml", "-o", "a.svg"], ["plan", "tiny.yaml"],
    ["schema", "tiny.yaml"], ["nodes", "list"], ["nodes", "describe", "denoiser.dit"], ["plugins", "list"],
    ["--help"], ["run", "--help"],
]  # fmt: skip


def test_help_and_version(mmm: Mmm) -> None:
    assert mmm("--version").out == f"mmm, version {mmm_graph.__version__}\n"
    shown = mmm("--help")
    assert shown.status == 0
    assert all(f"  {verb} " in shown.out for verb in cli.commands)
    for verb in cli.commands:
        assert mmm(verb, "--help").status == 0
    assert mmm().status == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rn", "tiny.yaml"], "No such command 'rn'"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "tiny.yaml", "more"], "unexpected extra argument"),
        (["run", "tiny.yaml", "--sed", "3"], "No such option '--sed'"),
        (["run", "tiny.yaml", "--threads", "0"], "0 is not in the range"),
        (["train", "tiny.yaml"], "Missing option '-o'"),
        (["run", "none.yaml"], "none.yaml error[E101] there is no such file"),
        (["check", "."], "expected a file, found a directory"),
    ],
)
def test_wrong_use_is_status_2_in_words_and_in_json(
    mmm: Mmm, tiny: Path, words: list[str], message: str
) -> None:
    done = mmm(*words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    if words[0] == "run":
        done = mmm(*words, "--json")
        assert (done.status, done.err) == (2, "")
        assert [e["event"] for e in done.events] == ["error"]
        assert done.events[0]["problems"][0]["message"] in message + done.events[0]["problems"][0]["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), 130), (click.Abort(), 130), (PermissionError(13, "Permission denied", "x/y"), 1)],
)
def test_interrupts_and_a_disk_that_fails(
    mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("mmm_graph.cli.check.compile_all", fail)
    done = mmm("check", tiny)
    assert (done.status, done.out) == (status, "")
    assert ("x/y: Permission denied" if status == 1 else "cancelled") in done.err
    assert mmm("check", tiny, "--json").events[0]["status"] == status


def test_verbs_that_only_look_do_not_import_torch(tiny: Path) -> None:
    code = (
        "import sys\n"
        "from mmm_graph.cli.main import main\n"
        f"for words in {WITHOUT_TORCH!r}:\n"
        "    try:\n"
        "        main(words)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, (words, end.code)\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_is_no_error(tiny: Path) -> None:
    script = (
        f"{sys.executable} -c 'from mmm_graph.cli.main import main; main()' schema tiny.yaml -o - | head -1"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr

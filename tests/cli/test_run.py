"""`mmm run`, as a newcomer would use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Mmm

MMM = [sys.executable, "-c", "from mmm_graph.cli.main import main; main()"]


def images(folder: str = "out") -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir())


def test_it_saves_the_outputs_and_says_where(mmm: Mmm, tiny: Path) -> None:
    done = mmm("run", tiny)
    assert (done.status, done.out, done.err) == (0, "image: out/image-0.png ... image-1.png\n", "")
    assert images() == ["image-0.png", "image-1.png"]
    assert Image.open("out/image-0.png").size == (8, 8)


def test_params_and_inputs_from_the_command_line_and_a_file(mmm: Mmm, tiny: Path) -> None:
    assert mmm("run", tiny, "--set", "prompt=[zero, 1, two]", "--set", "steps=2").status == 0
    assert images() == [f"image-{i}.png" for i in range(3)]
    assert mmm("run", tiny, "--set", "prompt=the digit two", "-o", "a").out == "image: a/image.png\n"
    Path("p.yaml").write_text("prompt: [one, two, zero, one]\nsteps: 3\n")
    assert mmm("run", tiny, "--params", "p.yaml", "--outputs", "cond").out == "cond: [1, 2, 0, 1]\n"
    assert (
        mmm("run", tiny, "--params", "p.yaml", "--set", "prompt=two", "--outputs", "cond").out
        == "cond: [2]\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--set", "promt=x"], 2, "did you mean prompt?"),
        (["--set", "stepz=3"], 2, "did you mean steps?"),
        (["--set", "steps=abc"], 2, "steps: expects an integer, got 'abc'"),
        (["--set", "steps=0"], 2, "expects at least 1, got 0"),
        (["--set", "steps"], 2, "--set takes NAME=VALUE"),
        (["--set", "prompt=[]"], 2, "expects a text or a list of texts"),
        (["--set", "prompt=[zero, [one]]"], 2, "expects a text or a list of texts"),
        (["--set", "prompt=[zero]]"], 2, "cannot be read as a list of texts"),
        (["--set", "prompt=" + "[" * 5000 + "]"], 2, "cannot be read as a list of texts"),
        (["--set", "prompt=banana"], 1, "names no class"),
        (
            ["--set", "prompt=[zero, one, two]", "--set", "negative_prompt=[zero, one]"],
            2,
            "2 rows, prompt has 3",
        ),
        (["--set", "sampler=sampler.ddmi"], 2, "did you mean sampler.ddpm"),
        (["--set", "models.dit.config.width=10"], 2, "multiple of 4"),
        (["--set", "nodes.noise.config.height=9"], 1, "9 x 8 does not divide into patches"),
        (["--params", "none.yaml"], 2, "there is no such file"),
        (["--outputs", "imag"], 2, "did you mean image?"),
        (["--outputs", "denoise/steps/step.x0"], 2, "is inside the loop denoise/steps"),
        (["--outputs", "image,"], 2, "--outputs takes names"),
        (["--seed", "1,2,3"], 2, "3 seeds for a batch of 2"),
        (["--seed", "-1"], 2, "at least 0"),
        (["--device", "gpu"], 2, "the device 'gpu' cannot be used"),
        (["--weights", "none"], 2, "the folder of weights none does not exist"),
        (["--weights", "."], 2, "has no weights of this graph's models"),
        (["-o", "tiny.yaml"], 2, "tiny.yaml is a file; expected a folder"),
        (["-o", "/dev/null/x"], 2, "/dev/null is a file; expected a folder"),
        (["--requests", "none.jsonl"], 2, "none.jsonl error[E101] there is no such file"),
        (["--requests", "-", "--preview"], 2, "--preview shows one run"),
    ],
)
def test_mistakes_are_told_clearly(mmm: Mmm, tiny: Path, words: list[str], status: int, message: str) -> None:
    done = mmm("run", tiny, *words)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert [p.name for p in Path().iterdir()] == ["tiny.yaml"]


def test_outputs_may_be_links(mmm: Mmm, tiny: Path) -> None:
    done = mmm("run", tiny, "--outputs", "cond.label, denoise,image")
    assert done.out.splitlines() == [
        "cond.label: [0, 1]", "denoise: torch.float32 [2, 1, 8, 8]", "image: out/image-0.png ... image-1.png",
    ]  # fmt: skip
    assert mmm("run", tiny, "--outputs", "$in.prompt", "-o", "b").out == "$in.prompt: ['zero', 'one']\n"
    assert not Path("b").exists()


def test_seeds(mmm: Mmm, tiny: Path) -> None:
    mmm("run", tiny, "--set", "prompt=[two, two]", "--seed", "3,4")
    mmm("run", tiny, "--set", "prompt=two", "--seed", "4", "-o", "one")
    assert Image.open("one/image.png").tobytes() == Image.open("out/image-1.png").tobytes()
    assert Image.open("out/image-0.png").tobytes() != Image.open("out/image-1.png").tobytes()


def test_json_is_an_event_a_line_and_ends_with_done(mmm: Mmm, tiny: Path) -> None:
    done = mmm("run", tiny, "--json", "--outputs", "image,cond", "--preview")
    assert (done.status, done.err) == (0, "")
    assert done.events[-1] == {
        "event": "done", "outputs": {"image": ["out/image-0.png", "out/image-1.png"], "cond": [0, 1]}, "metrics": {},
    }  # fmt: skip
    assert {"node_start", "node_end", "loop_step", "memory", "output", "preview"} < {
        e["event"] for e in done.events
    }
    done = mmm("run", tiny, "--json", "--set", "prompt=banana")
    assert (done.status, done.err) == (1, "")
    assert done.events[-1]["event"] == "error"
    assert done.events[-1]["problems"][0]["place"] == {"file": "tiny.yaml", "line": 25, "col": 11}


def test_a_picture_is_run_again(
    mmm: Mmm, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mmm(
        "run", tiny, "--set", "steps=3", "--set", "prompt=two", "--set", "models.dit.dtype=f64", "--seed", "7"
    )
    assert mmm("run", "out/image.png", "-o", "again").out == "image: again/image.png\n"
    assert Path("again/image.png").read_bytes() == Path("out/image.png").read_bytes()
    Path("far").mkdir()
    monkeypatch.chdir("far")
    assert mmm("run", tmp_path / "out" / "image.png").status == 0
    assert Path("out/image.png").read_bytes() == (tmp_path / "out" / "image.png").read_bytes()
    for words in (
        ["--seed", "1"],
        ["--set", "steps=2"],
        ["--params", "p"],
        ["--outputs", "image"],
        ["--requests", "-"],
    ):
        done = mmm("run", "out/image.png", *words)
        assert done.status == 2
        assert "run the graph file to change something" in done.err


def test_pictures_that_cannot_be_run_again(mmm: Mmm, tiny: Path) -> None:
    mmm("run", tiny)
    Path("cut.png").write_bytes(Path("out/image-0.png").read_bytes()[:-40])
    Image.new("L", (4, 4)).save("bare.png")
    Path("text.png").write_text("mmm: 1")
    for name, message in (
        ("cut.png", "cannot be read as an image"),
        ("text.png", "cannot be read as an image"),
        ("bare.png", "carries no graph"),
        ("none.png", "there is no such file"),
    ):
        done = mmm("run", name)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"{name} error[E10")
        assert message in done.err


def test_secrets_are_in_nothing_that_is_written(mmm: Mmm, tiny: Path) -> None:
    Path("p.yaml").write_text("token: geheim\n")
    for words in (["--set", "token=geheim"], ["--params", "p.yaml"]):
        done = mmm("run", tiny, *words, "--json")
        assert done.status == 0
        assert "geheim" not in done.out + done.err
    Path("r.jsonl").write_text('{"token": "geheim"}\n{"token": 3}\n')
    done = mmm("run", tiny, "--requests", "r.jsonl")
    assert done.status == 1
    assert "geheim" not in done.out + done.err
    assert not any(b"geheim" in p.read_bytes() for p in Path("out").iterdir())


def test_requests_fail_alone(mmm: Mmm, tiny: Path) -> None:
    lines = [
        '{"prompt": "zero", "seed": 3}', "not json", '{"prompt": "two", "steps": 2, "id": "b"}', "", "[1]",
        '{"prompt": "banana"}', '{"promt": "zero"}', '{"prompt": ["one", "two"], "seed": [1, 2]}', '{"id": "../up"}',
        '{"id": "b"}', '{"prompt": "zero", "seed": "x"}', '{"steps": 0}',
    ]  # fmt: skip
    Path("r.jsonl").write_text("\n".join(lines))
    done = mmm("run", tiny, "--requests", "r.jsonl")
    assert done.status == 1
    assert done.out.splitlines() == [
        "image: out/0-image.png", "image: out/b-image.png", "image: out/6-image-0.png ... 6-image-1.png",
    ]  # fmt: skip
    assert images() == ["0-image.png", "6-image-0.png", "6-image-1.png", "b-image.png"]
    for message in (
        "r.jsonl:2:1 error[E102] request 1: is not JSON",
        "r.jsonl:5:1 error[E102] request 3: expects an object",
        "request 4: cond (tokenizer.label tok.encode) failed",
        "request 5: the graph has no input 'promt'",
        "r.jsonl:9:1 error[E102] request 7: an id names files",
        "r.jsonl:10:1 error[E102] request 8: the id 'b' is used twice",
        "request 9: seed expects integers",
        "request 10: steps: expects at least 1, got 0",
        "8 of 11 requests failed",
    ):
        assert message in done.err
    mmm("run", tiny, "--set", "prompt=zero", "--seed", "3", "-o", "alone")
    assert Image.open("alone/image.png").tobytes() == Image.open("out/0-image.png").tobytes()
    assert mmm("run", "out/b-image.png", "-o", "again").status == 0
    assert Path("again/image.png").read_bytes() == Path("out/b-image.png").read_bytes()


def test_requests_in_json_and_from_stdin(mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.jsonl").write_text('{"prompt": "zero"}\n{"prompt": "banana"}\n')
    done = mmm("run", tiny, "--requests", "r.jsonl", "--json")
    assert (done.status, done.err) == (1, "")
    assert [e["request"] for e in done.events if e["event"] == "error"] == ["1"]
    expected = {"0": {"image": "out/0-image.png"}}
    assert done.events[-1] == {"event": "done", "outputs": expected, "metrics": {}, "failed": 1}
    given = '{"prompt": "zero"}\n'
    words = [*MMM, "run", "tiny.yaml", "--requests", "-", "--seed", "5"]
    piped = subprocess.run(words, input=given, capture_output=True, text=True)
    assert (piped.returncode, piped.stdout) == (0, "image: out/0-image.png\n")
    mmm("run", tiny, "--set", "prompt=zero", "--seed", "5", "-o", "alone")
    assert Image.open("alone/image.png").tobytes() == Image.open("out/0-image.png").tobytes()
    Path("r.jsonl").write_text("\n\n")
    done = mmm("run", tiny, "--requests", "r.jsonl")
    assert (done.status, done.err) == (0, "there are no requests\n")


def test_two_runs_at_once_into_one_folder(mmm: Mmm, tiny: Path) -> None:
    words = [*MMM, "run", "tiny.yaml", "-o", "both", "--set", "steps=50"]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert [run.communicate()[1] for run in runs] == [b"", b""]
    mmm("run", tiny, "--set", "steps=50")
    assert images("both") == images("out")
    assert all(Path("both", n).read_bytes() == Path("out", n).read_bytes() for n in images())

"""`mmm.load` and what it returns."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.session import Session, load
from mmm_graph.checkpoint.save import save_module
from mmm_graph.errors import Cancelled, InputError, RunError
from mmm_graph.registry import load_registry
from mmm_graph.runtime.events import Event


def test_run_gives_outputs_by_name(graph: Session) -> None:
    image = graph.run(seed=1)["image"]
    assert image.shape == (2, 1, 8, 8)
    assert torch.equal(image, graph.run(seed=1)["image"])
    assert not torch.equal(image, graph.run(seed=2)["image"])
    assert graph.run(prompt=["two"] * 3)["image"].shape[0] == 3


def test_a_seed_for_each_element_is_a_run_of_its_own(graph: Session) -> None:
    both = graph.run(prompt=["zero", "two"], seed=[5, 9])["image"]
    assert torch.allclose(both[1:], graph.run(prompt="two", seed=9)["image"], atol=1e-6)


def test_any_value_may_be_asked_for_and_supplied(graph: Session) -> None:
    found = graph.run(outputs=["image", "noise.latents", "denoise", "cond"], seed=3)
    assert list(found) == ["image", "noise.latents", "denoise", "cond"]
    assert found["cond"].tolist() == [0, 1]
    supplied = graph.run(supply={"noise.latents": found["noise.latents"]}, seed=99)
    assert torch.equal(supplied["image"], found["image"])
    with pytest.raises(InputError, match=r"no value 'nois'\n.*did you mean noise"):
        graph.run(supply={"nois": 1})
    with pytest.raises(InputError, match=r"no value 'imag'\n.*did you mean image"):
        graph.run(outputs=["imag"])
    with pytest.raises(RunError, match="denoise"):
        graph.run(supply={"noise.latents": "no latents"})


def test_params_compile_anew_and_models_stay(graph: Session) -> None:
    before = graph.module("dit")
    steps: list[Event] = []
    graph.run(steps=7, on_event=steps.append)
    assert max(e.total for e in steps) == 7
    assert graph.module("dit") is before
    assert graph.spec.values["steps"] == 4
    assert torch.equal(
        graph.run(guidance_scale=3.0)["image"],
        load("tiny.yaml", params={"guidance_scale": 3.0}).run()["image"],
    )
    with pytest.raises(InputError, match="steps: expects at least 1, got 0"):
        graph.run(steps=0)
    with pytest.raises(InputError, match=r"no input 'promt'\n.*did you mean prompt"):
        graph.run(promt="x")


def test_a_loaded_file_is_not_read_again(graph: Session, tiny: Path) -> None:
    tiny.unlink()
    assert graph.run(steps=2)["image"].shape == (2, 1, 8, 8)


def test_precedence_of_values(tiny: Path) -> None:
    Path("p.yaml").write_text("steps: 5\nprompt: two\n")
    session = Session(
        tiny, sets={"steps": "7"}, params={"steps": 6, "prompt": "one"}, params_file=Path("p.yaml")
    )
    assert session.spec.values["steps"] == 7
    assert session.run(outputs=["cond"])["cond"].tolist() == [1]
    assert session.run(outputs=["cond"], prompt=["zero", "two"])["cond"].tolist() == [0, 2]
    assert session.run(outputs=["times"], steps=3)["times"].t.shape == (3,)


def test_module_and_check_and_plan(graph: Session) -> None:
    assert isinstance(graph.module("dit"), torch.nn.Module)
    assert graph.module("dit") is graph.module("dit")
    with pytest.raises(InputError, match=r"no model 'dti'\n.*did you mean dit"):
        graph.module("dti")
    assert graph.check() == ()
    assert graph.plan().ranks == 1


def test_weights_come_from_a_folder(tiny: Path) -> None:
    module = load(tiny).module("dit")
    torch.nn.init.ones_(next(module.parameters()))
    save_module(module, Path("w/dit.safetensors"))
    assert next(load(tiny, weights=Path("w")).module("dit").parameters()).eq(1).all()
    with pytest.raises(InputError, match="does not exist"):
        load(tiny, weights=Path("none"))


def test_what_is_no_graph_file() -> None:
    for source in ("none.yaml", Path(), "mmm: 1\nnods: {}\n", {"mmm": 2}):
        with pytest.raises(InputError):
            load(source)


def test_map_keeps_failures_apart_and_equals_single_runs(graph: Session) -> None:
    requests: list[dict[str, Any]] = [
        {"prompt": "zero", "seed": 3, "id": "a"},
        {"prompt": "no digit"},
        {"promt": "x"},
        {"prompt": "one", "seed": "x"},
        {"steps": 0},
        {"prompt": "one", "steps": 2, "seed": 4},
        {"prompt": "one", "guidance_scale": 1.0, "seed": 4},
        {"prompt": "one", "guidance_scale": 7.0, "seed": 4},
        {"prompt": "one", "sampler": "sampler.euler", "seed": 4},
    ]
    found = graph.map(requests)
    assert list(found) == ["a", *map(str, range(1, 9))]
    assert [k for k, r in found.items() if r.error] == ["1", "2", "3", "4"]
    assert isinstance(found["1"].error, RunError)
    for name, request in zip(found, requests, strict=True):
        if found[name].error is None:
            alone = graph.run(**{k: v for k, v in request.items() if k != "id"})["image"]
            assert torch.allclose(found[name].values["image"], alone, atol=1e-6), name
    with pytest.raises(InputError, match="two requests have the id '1'"):
        graph.map([{"id": 1}, {}])
    assert graph.map([]) == {}


def test_stream_yields_events_and_ends_with_done(graph: Session) -> None:
    events = list(graph.stream(prompt="one", seed=3))
    assert events[-1].kind == "done"
    assert torch.equal(events[-1].data["image"], graph.run(prompt="one", seed=3)["image"])
    kinds = [e.kind for e in events]
    assert [e.step for e in events if e.kind == "loop_step"] == [1, 2, 3, 4]
    assert kinds.count("preview") == 2
    assert kinds.count("node_start") == kinds.count("node_end")


def test_stream_raises_what_the_run_raises(graph: Session) -> None:
    with pytest.raises(RunError, match="names no class"):
        list(graph.stream(prompt="nothing"))
    with pytest.raises(InputError, match="no input 'promt'"):
        list(graph.stream(promt="nothing"))
    with pytest.raises(InputError, match="seed expects integers"):
        next(graph.stream(seed="x"))  # type: ignore[arg-type]


def test_a_stream_that_is_left_stops_the_run(graph: Session) -> None:
    before = threading.active_count()
    stream = graph.stream(steps=1000)
    for event in stream:
        if event.kind == "loop_step":
            break
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    for _ in graph.stream(steps=1000):
        break
    gc.collect()
    assert threading.active_count() == before
    assert graph.run()["image"].shape == (2, 1, 8, 8)


def test_an_observer_may_run_the_graph(graph: Session) -> None:
    alone = graph.run(seed=3, guidance_scale=2.0)["image"]
    plain, seen = graph.run(seed=8)["image"], []

    def observe(event: Event) -> None:
        if event.kind == "loop_step" and event.step == 2:
            seen.append(graph.run(seed=3, guidance_scale=2.0)["image"])

    again = graph.run(seed=8, steps=5, on_event=observe)
    assert torch.equal(seen[0], alone)
    assert torch.equal(again["image"], graph.run(seed=8, steps=5)["image"])
    assert torch.equal(graph.run(seed=8)["image"], plain)


def test_an_observer_that_fails_fails_the_run(graph: Session) -> None:
    def observe(event: Event) -> None:
        raise KeyError("observer")

    with pytest.raises((RunError, KeyError), match="observer"):
        graph.run(on_event=observe)


def test_observers_of_plugins_see_events_and_failing_ones_are_switched_off(tiny: Path) -> None:
    Path("watcher.py").write_text(
        "from mmm_graph.registry import hookimpl\n"
        "@hookimpl\n"
        "def mmm_run_event(event):\n"
        "    raise ValueError('no')\n"
    )
    warnings: list[Any] = []
    session = load(tiny, registry=load_registry(extra_files=[Path("watcher.py")]), warn=warnings.append)
    assert session.run()["image"].shape == (2, 1, 8, 8)
    assert [w.code for w in warnings] == ["W401"]


def test_cancel_stops_a_run(tiny: Path) -> None:
    with pytest.raises(Cancelled) as found:
        load(tiny, cancel=lambda: True).run()
    assert found.value.status == 130


def test_threads_may_share_a_session(graph: Session) -> None:
    expected = {scale: graph.run(guidance_scale=scale)["image"] for scale in (1.5, 2.0, 3.0, 4.0)}
    found: dict[float, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda s=s: found.update({s: graph.run(guidance_scale=s)["image"]}))  # type: ignore[misc]
        for s in expected
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[scale], image) for scale, image in expected.items())


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, mmm_graph; mmm_graph.__version__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'loda'"):
        _ = mmm.loda  # type: ignore[attr-defined]


def test_running_imports_neither_training_nor_the_compiler() -> None:
    """Each takes a second or two."""
    code = (
        "import sys, mmm_graph; mmm_graph.load('graphs/digits/ddpm.yaml').run(steps=1)\n"
        "slow = ('sympy', 'torch._dynamo', 'torch.distributed.tensor', 'sklearn', 'mmm_graph.train.step')\n"
        "print([m for m in slow if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_show_and_the_picture_of_a_notebook(tiny):
    session = mmm.load(tiny)
    assert "denoise" in session.show() and session._repr_svg_().startswith("<svg")
    assert "loss" in session.show(section=f"train.{next(iter(session.spec.train.stages))}")


def test_training_from_python_changes_what_the_session_runs(tiny, tmp_path):
    session = mmm.load(tiny)
    before = session.run(prompt=["one"])["image"]
    stage = next(iter(session.spec.train.stages))
    records = session.train(stage, out=tmp_path / "out", seed=1)
    after = session.run(prompt=["one"])["image"]
    assert records[stage].steps > 0 and not torch.equal(before, after)
    again = mmm.load(tmp_path / "out" / "graph.yaml").run(prompt=["one"])["image"]
    assert torch.equal(after, again)


def test_a_saved_session_draws_the_same(tiny, tmp_path):
    session = mmm.load(tiny)
    saved = session.save(tmp_path / "saved")
    assert torch.equal(session.run(prompt=["two"])["image"], mmm.load(saved).run(prompt=["two"])["image"])


def test_branches_in_turn_give_what_batched_ones_give(tiny):
    batched, turn = (
        mmm.load(tiny, branches=b).run(prompt=["one", "two"])["image"] for b in ("batched", "turn")
    )
    assert torch.allclose(batched, turn, atol=1e-5)

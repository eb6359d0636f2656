"""A package of somebody else: pip-installed on its own, found by its entry point, true to what it declares."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mmm_graph.registry import Registry, load_registry

PACKAGE = Path(__file__).parent / "mmm_honeybee"
GRAPH = Path(__file__).parent / "honeybee.yaml"
KINDS = ("adaptor.honeybee", "loss.pseudo_huber", "sampler.lms2")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The package loaded from its source, as if it were installed."""
    monkeypatch.syspath_prepend(str(PACKAGE / "src"))
    yield load_registry(points=[EntryPoint("honeybee", "mmm_honeybee.plugin", "mmm_graph")], strict=True)
    for name in [n for n in sys.modules if n.partition(".")[0] == "mmm_honeybee"]:
        del sys.modules[name]


def test_it_offers_three_kinds_that_keep_their_promises(registry: Registry) -> None:
    from mmm_graph.testing import check_node

    assert registry.kinds() == KINDS
    adaptor = {"num_tokens": 4, "hidden": 8, "depth": 1}
    check_node(registry.get("adaptor.honeybee"), config=adaptor, dims={"l": 9})
    check_node(registry.get("sampler.lms2"))
    check_node(registry.get("loss.pseudo_huber"))


def test_lms2_is_of_second_order(registry: Registry) -> None:
    """Halving the step divides the error by four, on x0 = x * a where the exact solution is known."""
    import torch

    from mmm_graph.nn.sampler import Times
    from mmm_graph.registry import resolve

    def error(steps: int) -> float:
        s = torch.linspace(
            4.0, 1.0, steps + 1, dtype=torch.float64
        )  # sigma with alpha = 1, not to the clean end
        times = Times(s[:-1], torch.ones_like(s), s, "sample")
        sampler = resolve(registry.models["sampler.lms2"].builder)(registry.models["sampler.lms2"].config())
        state = sampler.init(torch.ones(1, 1, 1, 1, dtype=torch.float64), times)
        for i in range(steps):
            state = sampler.update(state, 0.5 * state["x"], times, i)
        return abs(float(sampler.result(state)) - 0.5)  # dx/ds = (x - x/2) / s: x = sqrt(s / 4)

    assert error(64) < 1e-4
    assert 3.3 < error(32) / error(64) < 4.7


CHECK = """
import sys
from mmm_graph.registry import load_registry
from mmm_graph.testing import check_node

registry = load_registry(allow=["mmm-honeybee"], strict=True)
(info,) = registry.plugins
print(info.name, info.distribution, info.version, sys.modules["mmm_honeybee"].__file__)
check_node(registry.get("adaptor.honeybee"), config={"num_tokens": 4, "hidden": 8, "depth": 1}, dims={"l": 9})
check_node(registry.get("sampler.lms2"))
check_node(registry.get("loss.pseudo_huber"))
print("kept", *registry.kinds())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, and nothing of its source."""
    folder = tmp_path_factory.mktemp("honeybee")
    shutil.copytree(PACKAGE, folder / "source")  # building writes into the folder
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    where = ["--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([*pip, *where], check=True)
    shutil.rmtree(folder / "source")
    return folder / "site"


def python(site: Path, cwd: Path, code: str, *args: str) -> str:
    """Run code that sees the installed package, but neither this folder nor PYTHONPATH; returns its output."""
    code = f"import sys; sys.path.insert(0, {str(site)!r})\n" + code
    done = subprocess.run([sys.executable, "-I", "-c", code, *args], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_works_when_installed_by_pip_without_the_source_tree(site: Path, tmp_path: Path) -> None:
    first, last = python(site, tmp_path, CHECK).splitlines()
    assert first == f"honeybee mmm-honeybee 1.2.0 {site / 'mmm_honeybee' / '__init__.py'}"
    assert last == "kept adaptor.honeybee loss.pseudo_huber sampler.lms2"


def test_a_graph_uses_its_three_kinds(site: Path, tmp_path: Path) -> None:
    """Trained for two steps with its loss, then run with the trained adaptor and its sampler."""
    code = """
from pathlib import Path
from mmm_graph.cli.main import cli
import mmm_graph as mmm
file, out = sys.argv[1:]
cli(["train", file, "-o", out], standalone_mode=False)
session = mmm.load(file, weights=Path(out))
image = session.run(seed=3)["image"]
print("image", *image.shape, session.graph.models["bridge"].config.out_dim)
"""
    shown = python(site, tmp_path, code, str(GRAPH), str(tmp_path / "out"))
    assert shown.splitlines()[-1] == "image 2 1 8 8 16"
    assert {p.name for p in (tmp_path / "out").glob("*.safetensors")} == {
        "bridge.safetensors",
        "unet.safetensors",
    }

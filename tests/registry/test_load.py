"""Loading: what works is offered, what fails is listed with its cause and place, and nothing else suffers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmm_graph.errors import InputError
from mmm_graph.registry import Registry, load_registry, resolve

if TYPE_CHECKING:
    from .conftest import Site

HEAD = "from mmm_graph.registry import hookimpl\n"
RETURNS = HEAD + "@hookimpl\ndef mmm_register_nodes():\n    return {}\n"
OP = (
    HEAD
    + "from mmm_graph.registry import op_type\n@hookimpl\ndef mmm_register_nodes():\n    return [op_type({})]\n"
)


def load(site: Site, **kwargs: object) -> Registry:
    return load_registry(points=site.points(), **kwargs)


def test_a_good_plugin_is_listed_with_its_distribution_and_kinds(site: Site) -> None:
    site.install("alpha", version="2.5")
    registry = load(site)
    (info,) = registry.plugins
    assert (info.name, info.distribution, info.version, info.module) == (
        "alpha",
        "mmm-alpha",
        "2.5",
        "alpha.plugin",
    )
    assert (info.status, info.cause, info.kinds) == ("ok", "", ("adaptor.alpha", "alpha.double"))
    assert registry.get("alpha.double") is registry.ops["alpha.double"]
    assert registry.owner("adaptor.alpha") == info
    assert registry.kinds("adaptor") == ("adaptor.alpha",)
    assert registry.problems == ()


HOOK = HEAD + "@hookimpl\ndef mmm_register_nodes():\n    "
WRAPPER = HOOK.replace("@hookimpl", "@hookimpl(wrapper=True)")
BROKEN = {
    "missing import": (
        "import no_such_module_xyz\n",
        "ModuleNotFoundError: No module named 'no_such_module_xyz'",
        1,
    ),
    "syntax": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax", 2),
    "at import": ("\n\n1 / 0\n", "ZeroDivisionError: division by zero", 3),
    "exit": ("import sys\nsys.exit('I go')\n", "SystemExit: I go", 2),
    "in a hook": (HOOK + "raise RuntimeError('no\\nway')\n", "RuntimeError: no way", 4),
    "not a list": (
        RETURNS.format("None"),
        "mmm_register_nodes returned NoneType; expected a list of node types",
        2,
    ),
    "a generator": (
        RETURNS.format("(x for x in ())"),
        "returned generator; expected a list of node types",
        2,
    ),
    "wrong items": (
        RETURNS.format("['adaptor.x']"),
        "returned a list with 'adaptor.x'; expected only node types",
        2,
    ),
    "misspelt": (
        RETURNS.format("[]").replace("nodes", "node"),
        "there is no hook 'mmm_register_node'; did you mean mmm_register_nodes",
        2,
    ),
    "unknown argument": (
        RETURNS.format("[]").replace("()", "(register)"),
        "Argument(s) {'register'} are declared in the hookimpl",
        0,
    ),
    "unmarked": ("def mmm_run_event(event): ...\n", "mmm_run_event is not marked with @hookimpl", 1),
    "no hooks": ("x = 1\n", "it has no function marked with @hookimpl", 0),
    "wrapper": (WRAPPER + "return (yield)\n", "is a wrapper", 2),
    "bad kind": (
        OP.format("'Loss', 'a:b', returns={'y': 'Any'}"),
        "'Loss' is not a kind; expected role.name",
        0,
    ),
    "bad port": (OP.format("'loss.x', 'a:b', returns={'y': 'Imag[b]'}"), "unknown kind 'Imag'", 5),
}


@pytest.mark.parametrize(("source", "cause", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_listed_and_the_others_load(
    site: Site, source: str, cause: str, line: int
) -> None:
    file = site.install("broken", source)
    site.install("alpha")
    registry = load(site)
    good, bad = registry.plugins
    assert (good.status, bad.status, bad.kinds) == ("ok", "FAILED", ())
    assert cause in bad.cause
    assert "\n" not in bad.cause
    assert bad.place is not None
    assert Path(bad.place.file) == file
    assert bad.place.line == line
    assert registry.kinds() == ("adaptor.alpha", "alpha.double")
    assert registry.problems[0].code == "E401"
    assert "broken (mmm-broken 1.0) failed to load" in str(registry.problems[0])


def test_the_place_is_in_the_plugin_even_when_it_fails_deeper(site: Site) -> None:
    file = site.install("broken", "import json\n\njson.loads('{')\n")
    (info,) = load(site).plugins
    assert info.place is not None
    assert (Path(info.place.file), info.place.line) == (file, 3)


def test_a_missing_package_is_a_failure_of_that_plugin() -> None:
    registry = load_registry(points=[EntryPoint("gone", "no_such_package.plugin", "mmm_graph")])
    assert registry.plugins[0].status == "FAILED"
    assert "no_such_package" in registry.plugins[0].cause


def test_ctrl_c_while_loading_ends_the_program(site: Site) -> None:
    site.install("broken", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(site)


def test_everything_a_failing_plugin_registered_is_rolled_back(site: Site) -> None:
    source = """
        from mmm_graph.registry import PortKind, Saver, hookimpl, op_type

        @hookimpl
        def mmm_register_nodes():
            return [op_type("half.done", "half.model:f", returns={"y": "Any"})]

        @hookimpl
        def mmm_register_port_kinds():
            return [PortKind("Skeleton")]

        @hookimpl
        def mmm_run_event(event): ...

        @hookimpl
        def mmm_register_savers():
            raise OSError("disk")
    """
    site.install("half", source)
    registry = load(site)
    assert registry.plugins[0].cause == "OSError: disk"
    assert not (registry.ops or registry.port_kinds or registry.savers or registry.observers)


def test_two_plugins_with_one_kind_name_both_and_neither_wins(site: Site) -> None:
    site.install("alpha")
    other = (site.path / "alpha" / "plugin.py").read_text().replace("alpha.double", "beta.double")
    site.install("beta", other, version="3.1")
    registry = load(site)
    assert registry.kinds() == ("alpha.double", "beta.double")
    assert [p.status for p in registry.plugins] == ["ok", "ok"]
    with pytest.raises(
        InputError, match=r"alpha \(mmm-alpha 1.0\) and beta \(mmm-beta 3.1\); neither is used"
    ) as info:
        registry.get("adaptor.alpha")
    assert info.value.problems[0].code == "E402"
    assert registry.problems == info.value.problems
    with pytest.raises(InputError, match="E402"):
        load(site, strict=True)


def test_a_kind_registered_twice_by_one_plugin_fails_it(site: Site) -> None:
    plugin = site.install("alpha")
    plugin.write_text(plugin.read_text().replace("alpha.double", "adaptor.alpha"))
    (info,) = load(site).plugins
    assert info.status == "FAILED"
    assert "it registers 'adaptor.alpha' 2 times" in info.cause


def test_strict_raises_for_every_failure(site: Site) -> None:
    site.install("one", "import no_such_module_xyz\n")
    site.install("two", "1 / 0\n")
    with pytest.raises(InputError) as info:
        load(site, strict=True)
    assert [p.code for p in info.value.problems] == ["E401", "E401"]


def test_allow_names_plugins_or_distributions(site: Site) -> None:
    for name in ("alpha", "beta", "gamma"):
        site.install(name)
    site.install("broken", "1 / 0\n")
    names = {
        tuple(p.name for p in load(site, allow=a).plugins)
        for a in (["alpha", "mmm_beta"], ["Mmm.Beta", "alpha"])
    }
    assert names == {("alpha", "beta")}
    assert load(site, allow=[]).plugins == ()
    with pytest.raises(InputError, match=r"no plugin 'alhpa' is installed\n.*did you mean alpha"):
        load(site, allow=["alhpa"])


def test_a_plugin_that_is_not_allowed_is_not_imported(site: Site) -> None:
    site.install("alpha")
    site.install("loud", f"open({str(site.path / 'trace')!r}, 'w')\n")
    load(site, allow=["alpha"])
    assert not (site.path / "trace").exists()


def test_digest_says_whether_the_same_set_was_loaded(site: Site) -> None:
    site.install("alpha")
    one = load(site).digest()
    site.install("beta")
    two = load(site).digest()
    assert load_registry(points=reversed(site.points())).digest() == two
    assert one != two
    assert load(site, allow=["alpha"]).digest() == one
    site.install("broken", "1 / 0\n")
    assert load(site).digest() == two
    (site.path / "mmm_beta-1.0.dist-info" / "METADATA").write_text("Name: mmm-beta\nVersion: 1.1\n")
    assert load(site).digest() != two


def test_a_file_is_loaded_as_a_plugin_and_its_builder_resolves(write: Callable[[str, str], Path]) -> None:
    path = write(
        "solo_plugin.py",
        """
        from mmm_graph.registry import hookimpl, op_type

        def half(x): return {"y": x / 2}

        @hookimpl
        def mmm_register_nodes():
            return [op_type("solo.half", "solo_plugin:half", x="Scalar[]", returns={"y": "Scalar[]"})]
        """,
    )
    registry = load_registry(points=[], extra_files=[path], allow=[])
    assert resolve(registry.ops["solo.half"].function)(3.0) == {"y": 1.5}
    assert registry.plugins[0].distribution == "solo_plugin.py"
    first = registry.digest()
    path.write_text(path.read_text().replace("/ 2", "* 0.25"))
    again = load_registry(points=[], extra_files=[path])
    assert resolve(again.ops["solo.half"].function)(4.0) == {"y": 1.0}
    assert again.digest() != first
    del sys.modules["solo_plugin"]


def test_a_file_that_hides_a_module_or_fails_is_refused(write: Callable[[str, str], Path]) -> None:
    import json

    hides, fails = write("json.py", RETURNS.format("[]")), write("solo_broken.py", "1 / 0\n")
    registry = load_registry(points=[], extra_files=[hides, fails])
    assert [p.status for p in registry.plugins] == ["FAILED", "FAILED"]
    assert "there is a module 'json' already; rename the file json.py" in registry.plugins[0].cause
    assert sys.modules["json"] is json
    assert "solo_broken" not in sys.modules
    assert registry.plugins[1].place is not None
    assert registry.plugins[1].place.line == 1


def test_a_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E403.*there is no plugin file .*nowhere\.py"):
        load_registry(points=[], extra_files=[tmp_path / "nowhere.py"])


def test_loading_imports_no_torch() -> None:
    code = "import sys; from mmm_graph.registry import load_registry; load_registry(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

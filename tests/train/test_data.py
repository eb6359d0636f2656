"""Opening the data of sections."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmm_graph.errors import Cancelled, InputError, RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.runtime import Engine, Request, Result, build_models
from mmm_graph.spec import DataSpec, load_spec
from mmm_graph.train.data import Source, Sources
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.record import read_records
from mmm_graph.train.samples import Careful
from mmm_graph.train.stage import make_stage
from mmm_graph.train.trainer import train
from tests.train import streams
from tests.train.streams import stream_spec
from tests.train.toys import REGISTRY, toy_spec

WHERE = ("train", "stages", "fit", "data")


def opened(path: Path, *data: DataSpec) -> list[Source]:
    spec = toy_spec(path)
    graph = compile_graph(spec, REGISTRY, "train.fit")
    sources = Sources(spec, REGISTRY)
    return [sources.open(graph, one, WHERE) for one in data]


def line(**config: object) -> DataSpec:
    return DataSpec(op="data.line", config=config)


def test_columns_come_with_their_types(tmp_path: Path) -> None:
    (source,) = opened(tmp_path, line(batch=3))
    assert {name: type_.kind for name, type_ in source.columns.items()} == {
        "x": "Embeds",
        "y": "Embeds",
        "name": "Text",
    }
    assert (source.batch, len(source.dataset)) == (3, 10)


def test_equal_data_is_opened_once(tmp_path: Path) -> None:
    first, second, third = opened(tmp_path, line(), line(), line(count=5))
    datasets = [
        source.dataset.dataset for source in (first, second, third) if isinstance(source.dataset, Careful)
    ]
    assert datasets[0] is datasets[1]
    assert datasets[2] is not datasets[0]
    assert first.identity != third.identity


def test_files_are_relative_to_the_graph(tmp_path: Path) -> None:
    (tmp_path / "shift.txt").write_text("2.5")
    plain, shifted = opened(tmp_path, line(), line(path="file:shift.txt"))
    assert (shifted.dataset[0]["x"] - plain.dataset[0]["x"]).tolist() == pytest.approx([2.5] * 3)
    with pytest.raises(RunError, match=r"E822.*data.line cannot be opened: FileNotFoundError"):
        opened(tmp_path, line(path="file:missing.txt"))


def test_no_data_and_sources_of_several_batches_are_refused(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path)
    graph = compile_graph(spec, REGISTRY, "train.fit")
    with pytest.raises(InputError, match=r"E826.*different batches: a 4, b 5"):
        Sources(spec, REGISTRY).open(graph, {"a": line(), "b": line(batch=5)}, WHERE)
    with pytest.raises(InputError, match=r"E810.*no data"):
        Sources(spec, REGISTRY).open(graph, None, WHERE)


def test_an_empty_dataset_is_refused_where_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"E820\] data.line has no samples"):
        opened(tmp_path, line(count=0))


MIXED = "{a: {op: data.rows, config: {count: 9}, weight: 3, each: shake}, b: {op: data.plain, config: {count: 7}}}"


def weights(out: Path) -> dict[str, torch.Tensor]:
    return {f"{p.stem}.{k}": v for p in sorted(out.glob("*.safetensors")) for k, v in load_file(p).items()}


@pytest.mark.parametrize(
    ("data", "more", "read"),
    [
        (MIXED, "workers: 2", "$data.x"),
        (MIXED, "workers: 2", "$data.b.x"),
        ("{op: data.rows, each: shake}", "group: {by: ids, batches: 2}\nworkers: 1", "$data.x"),
    ],
    ids=["mixed", "beside", "grouped"],
)
def test_resume_in_the_middle_of_an_epoch_is_bit_for_bit(
    tmp_path: Path, data: str, more: str, read: str
) -> None:
    spec = stream_spec(tmp_path, data, more=more, read=read)
    train(spec, streams.REGISTRY, tmp_path / "once", options=TrainOptions(workers=0))
    asked = iter(range(100))
    with pytest.raises(Cancelled, match="after 4 of 6 steps"):
        train(spec, streams.REGISTRY, tmp_path / "twice", cancel=lambda: next(asked) >= 4)
    train(spec, streams.REGISTRY, tmp_path / "twice", options=TrainOptions(resume=True))
    once, twice = weights(tmp_path / "once"), weights(tmp_path / "twice")
    assert once.keys() == twice.keys()
    assert [name for name in once if not torch.equal(once[name], twice[name])] == []


def test_an_epoch_of_a_mixture_is_as_long_as_its_sources(tmp_path: Path) -> None:
    spec = stream_spec(tmp_path, MIXED)
    graph = compile_graph(spec, streams.REGISTRY, "train.fit")
    assert spec.train is not None
    source = Sources(spec, streams.REGISTRY).open(graph, spec.train.stage("fit").data, WHERE)
    assert source.samples == 16
    picked = source.stream(2).at(0, 48).indices
    assert sorted(i for i in picked if i < 9) == sorted(
        4 * list(range(9))
    )  # 3 of 4, each as often as the others
    beside = compile_graph(stream_spec(tmp_path, MIXED, read="$data.a.x"), streams.REGISTRY, "train.fit")
    assert Sources(spec, streams.REGISTRY).open(beside, spec.train.stage("fit").data, WHERE).samples == 9


def test_bad_samples_are_endured_named_and_recorded(tmp_path: Path) -> None:
    data = "{op: data.rows, config: {bad: [3, 4]}}"
    events: list[TrainEvent] = []
    spec = stream_spec(tmp_path, data, more="bad_limit: 2\nworkers: 1")
    records = train(spec, streams.REGISTRY, tmp_path / "some", on_event=events.append)
    assert records["fit"].bad_samples == {"3": "OSError: row 3 is torn", "4": "OSError: row 4 is torn"}
    assert read_records(tmp_path / "some")["fit"].bad_samples == records["fit"].bad_samples
    (note,) = [e.data["message"] for e in events if e.kind == "warning"]
    assert "W823" in note and "2 of 12 samples could not be read: sample " in note
    with pytest.raises(
        RunError, match=r"E823\] [12] of 12 samples cannot be read, 0 are endured: sample [34]: OSError"
    ):
        train(stream_spec(tmp_path, data), streams.REGISTRY, tmp_path / "none")


@pytest.mark.parametrize("count", [1, 2], ids=["one sample", "batch larger than the data"])
def test_small_data_is_gone_through_again_and_again(tmp_path: Path, count: int) -> None:
    data = f"{{op: data.plain, config: {{count: {count}}}}}"
    records = train(stream_spec(tmp_path, data), streams.REGISTRY, tmp_path / "out")
    assert records["fit"].samples == 24


def test_a_branch_over_pictures_runs_for_the_samples_that_have_one(tmp_path: Path) -> None:
    """Noise belongs to the sample, whether others have a picture or not; without any picture nothing runs."""
    nodes = "size: {op: loss.size, in: {pred: p}}\n        grey: {op: toy.grey, in: {image: $data.image}}"
    text = streams.GRAPH.replace("DATA", "{op: data.rows}").replace(
        "size: {op: loss.size, in: {pred: p}}", nodes
    )
    spec = load_spec(text.replace("loss:  {size: size}", "loss:  {size: size, grey: grey}"))
    graph = compile_graph(spec, streams.REGISTRY, "train.fit")
    loader = Sources(spec, streams.REGISTRY).open(graph, DataSpec(op="data.rows"), WHERE).stream(0)
    built = build_models(graph.models, streams.REGISTRY, base=tmp_path)
    engine = Engine(streams.REGISTRY, built)

    def run(indices: list[int]) -> Result:
        values = {k: v for k, v in loader.gather(indices).values.items() if v is not None}
        return engine.run(graph, [Request("r", values, (7,), tuple(indices))])["r"]

    some = run([1, 4, 3, 8])
    assert some.owners["grey"] == (1, 3)
    assert some.values["grey"][:, 0].tolist() == pytest.approx([0.04, 0.08])
    assert torch.equal(run([8]).values["grey"][0], some.values["grey"][1])
    none = run([1, 3])
    assert "grey" not in none.values and "size" in none.values


def test_what_batches_cannot_be_grouped_by_is_refused(tmp_path: Path) -> None:
    def stage(data: str, read: str = "$data.x") -> None:
        spec = stream_spec(tmp_path, data, more="group: idz", read=read)
        make_stage(spec, streams.REGISTRY, "fit", Sources(spec, streams.REGISTRY))

    with pytest.raises(InputError, match=r"E827\].*no column 'idz'(?s:.*)did you mean ids"):
        stage("{op: data.rows}")
    with pytest.raises(InputError, match=r"E827\].*side by side"):
        stage(MIXED, "$data.a.x")

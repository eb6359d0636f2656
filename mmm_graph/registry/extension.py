"""What a plugin may register beside node types and savers: port kinds, weight sources, importers."""

from __future__ import annotations

from dataclasses import dataclass

from mmm_graph.spec.ports import KINDS, PortType, parse_port


@dataclass(frozen=True)
class PortKind:
    """A kind of value beside the built-in ones: a tensor with the batch as first axis, or a list of b things.

    Attributes:
        name: CamelCase, such as "Skeleton".
        doc: layout, range and unit of the values, in one sentence.
    """

    name: str
    doc: str = ""

    def port(self, dims: str = "") -> PortType:
        """`kind.port("[b,j,3]")` is the port type `Skeleton[b,j,3]`, for the port arguments of a node type.

        Raises:
            ValueError: dims (and tag, and `?`) cannot be read.
        """
        return parse_port(self.name + dims, KINDS | {self.name})


@dataclass(frozen=True)
class WeightSource:
    """A scheme of `weights:`, such as `s3:bucket/key`.

    Attributes:
        scheme: the word before the colon.
        function: "package.module:function"; function(rest: str, *, base: Path) -> Path of a local file or
            folder. `rest` is the text after the colon, `base` the graph file's folder; ValueError refuses.
    """

    scheme: str
    function: str
    doc: str = ""


@dataclass(frozen=True)
class Importer:
    """Makes a graph file from a folder or file that another library wrote, or a fragment of one from a part of it.

    Attributes:
        foreign: class name found in the folder's own config, such as "StableDiffusionPipeline"; of single files, which
            name no class, what such a file is called in errors.
        function: "package.module:function"; function(foreign: Foreign) -> dict: of a pipeline the graph file as data,
            of a part (a scheduler) whatever the importers of pipelines expect of it. ValueError refuses.
        marks: of single files: patterns of names, with `*` for anything; a file is of this sort if it has a tensor for
            each of them. Where several sorts fit, the one with most marks counts, then the one with the longest.
        config: of folders whose configs name no class: the file by which they are known.
    """

    foreign: str
    function: str
    doc: str = ""
    marks: tuple[str, ...] = ()
    config: str = ""

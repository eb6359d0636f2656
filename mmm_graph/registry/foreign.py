"""What another library wrote, as its importer sees it: configs, and models in the words of a graph file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.registry.gguf_header import gguf_config
from mmm_graph.registry.layout import Layout
from mmm_graph.registry.node_type import ModelType, resolve
from mmm_graph.registry.registry import Registry

CONFIGS = ("model_index.json", "config.json", "scheduler_config.json")


@dataclass
class Foreign:
    """A pipeline's folder, one of its parts, or a single file that holds all models of a pipeline.

    Attributes:
        folder: on this machine; of a single file, the file.
        link: the same as a graph file says it under `weights:`, such as "file:sd15" or "hf:org/repo".
        registry: what kinds there are.
        class_name: of what the folder holds.
        notes: what was left out, and why; shared by all parts.
        shapes: of all tensors of a single file.
        options: what the user says of a single file, which holds no configs: `prediction`, `tokenizer` and others of a
            pipeline (links), `as_class` (of the pipeline that it shall be).
        parts: components that an importer of single files made up.
        unread: beginnings of the names of tensors that nobody needs.
        read_shapes: reads the names and shapes of all tensors of a folder; see `tensors`.
        asked: components that were looked at.
    """

    folder: Path
    link: str
    registry: Registry
    class_name: str
    config: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Foreign] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    read_shapes: Callable[[], Mapping[str, tuple[int, ...]]] = dict
    asked: set[str] = field(default_factory=set)

    def part(self, name: str) -> Foreign:
        """A component of a pipeline.

        Raises:
            InputError: E612, it is not there.
        """
        self.asked.add(name)
        if name in self.parts:
            return self.parts[name]
        folder = self.folder / name
        if not self.has(name):
            message = f"{self.folder} ({self.class_name}) has no {name}"
            raise InputError(problem("E612", message, hint="the whole folder of the pipeline is needed"))
        config = read_config_file(folder)
        return Foreign(folder, f"{self.link}/{name}", self.registry, self.config[name][1], config, self.notes)

    def beside(self, name: str) -> dict[str, Any]:
        """What another file of the folder says; nothing where it is not there.

        Raises:
            InputError: E612, it cannot be read.
        """
        return _read_json(self.folder / name) if (self.folder / name).is_file() else {}

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of all tensors of a single file, or of the file in the folder, by name. No weight is read.

        Raises:
            RunError: E604, a pickle; E605, there is no file, or it is damaged.
        """
        return self.shapes or self.read_shapes()

    def pretend(
        self, class_name: str, config: Mapping[str, Any], parts: Mapping[str, tuple[str, Mapping[str, Any]]]
    ) -> Foreign:
        """The same single file as a pipeline with configs, for the importer of folders.

        Args:
            config: of the pipeline.
            parts: by name, the link to what it is made of and its config, which names its class.
        """
        made = {
            name: Foreign(self.folder, link, self.registry, str(_class_of(said)), said, self.notes)
            for name, (link, said) in parts.items()
        }
        index = {name: ["", part.class_name] for name, part in made.items()}
        return Foreign(
            self.folder, self.link, self.registry, class_name, {**config, **index}, self.notes, parts=made
        )

    def has(self, name: str) -> bool:
        """Whether the pipeline has a component of that name."""
        said = self.config.get(name)
        return isinstance(said, list) and len(said) == 2 and said[1] is not None

    def model(self, of: str = "") -> dict[str, Any]:
        """`kind`, `weights` and `config` of a folder with one model; what is the kind's default is left out.

        Args:
            of: the kind, where several read such folders.

        Raises:
            InputError: E612, no kind has a layout of its class, or not with these settings.
        """
        refused: list[str] = []
        for kind, layout in self._kinds(of):
            assert layout.read_config is not None
            try:
                config = kind.config.model_validate(dict(layout.read_config(self.config)))
            except ValueError as error:
                refused.append(f"{kind.kind}: {error}")
                continue
            sizes = config.model_dump(mode="json", exclude_defaults=True)
            return {"kind": kind.kind, "weights": self.link} | ({"config": sizes} if sizes else {})
        message = f"{self.folder} ({self.class_name}) is refused by {'; by '.join(refused)}"
        raise InputError(problem("E612", message, hint="this model cannot be imported yet"))

    def translate(self) -> Mapping[str, Any]:
        """What the importer of its class makes of the folder.

        Raises:
            InputError: E612, there is none, or it refuses.
        """
        importer = self.registry.importers.get(self.class_name)
        if importer is None:
            message = f"{self.folder} holds a {self.class_name}, which no plugin can import"
            one_model = any(
                self.class_name in la.classes for k in self.registry.models.values() for la in k.layouts
            )
            hint = "it is one model: name the folder of the pipeline that it belongs to"
            raise InputError(
                problem(
                    "E612",
                    message,
                    hint=hint if one_model else did_you_mean(self.class_name, self.registry.importers),
                )
            )
        try:
            found: Mapping[str, Any] = resolve(importer.function)(self)
        except ValueError as error:
            raise InputError(problem("E612", f"{self.folder} ({self.class_name}): {error}")) from error
        return found

    def leave_out(self, name: str, why: str) -> None:
        """Say that a component does not come along, if there is one."""
        if self.has(name):
            self.notes.append(f"{name} ({self.config[name][1]}) is left out: {why}")

    def leave_unread(self, what: str, why: str, *beginnings: str) -> None:
        """Say that tensors of a single file do not come along, if there are any. All others must be read by a model."""
        found = [name for name in self.shapes if name.startswith(beginnings)]
        self.unread += beginnings
        if found:
            which = found[0] if len(found) == 1 else f"{len(found)} tensors, such as {found[0]}"
            self.notes.append(f"{what} ({which}) is left out: {why}")

    def expect(self, *names: str) -> None:
        """Refuse components that the importer does not know.

        Raises:
            InputError: E612.
        """
        more = [name for name in self.config if self.has(name) and name not in names]
        if more:
            message = (
                f"{self.folder} ({self.class_name}) has components that cannot be imported: {', '.join(more)}"
            )
            raise InputError(problem("E612", message, hint="take them out of model_index.json to go without"))

    def _kinds(self, of: str = "") -> list[tuple[ModelType, Layout]]:
        """Kinds (all, or one) with a layout of the class: several where one class of theirs holds several families."""
        kinds = [kind for kind in self.registry.models.values() if of in ("", kind.kind)]
        pairs = [(kind, layout) for kind in kinds for layout in kind.layouts]
        found = [p for p in pairs if self.class_name in p[1].classes and p[1].read_config is not None]
        if not found:
            known = sorted({name for _, layout in pairs for name in layout.classes})
            message = f"{self.folder} holds a {self.class_name}, which no model kind can read"
            hint = did_you_mean(self.class_name, known) or f"there are: {', '.join(known)}"
            raise InputError(problem("E612", message, hint=hint))
        return found


def open_foreign(folder: Path, link: str, registry: Registry, configs: Sequence[str] = CONFIGS) -> Foreign:
    """A pipeline's or a model's folder.

    Args:
        configs: names of files that may be its config; the first that is there counts.

    Raises:
        InputError: E612, it has no config that names its class.
    """
    config = read_config_file(folder, configs)
    name = _class_of(config)
    for importer in registry.importers.values() if name is None else ():
        if importer.config and (folder / importer.config).is_file():
            return Foreign(folder, link, registry, importer.foreign, _read_json(folder / importer.config))
    if not isinstance(name, str):
        message = f"{folder} has no {' or '.join(CONFIGS[:2])} that names a class"
        raise InputError(problem("E612", message, hint="name a folder that diffusers or transformers saved"))
    return Foreign(folder, link, registry, name, config)


def open_gguf(path: Path, link: str, registry: Registry) -> Foreign:
    """A GGUF file, whose head is a config: importers and layouts know it by its architecture, such as `gguf.llama`.

    Raises:
        RunError: E605, E633, a file that cannot be read.
    """
    said = gguf_config(path)
    return Foreign(path, link, registry, f"gguf.{said.get('general.architecture', 'unknown')}", said)


def _class_of(config: Mapping[str, Any]) -> Any:
    return config.get("_class_name") or next(iter(config.get("architectures") or ()), None)


def recognise(
    file: Path,
    link: str,
    registry: Registry,
    shapes: Mapping[str, tuple[int, ...]],
    options: Mapping[str, str],
) -> Foreign:
    """A single file, by the names of its tensors.

    Raises:
        InputError: E612, nobody knows such files.
    """
    sorts = [i for i in registry.importers.values() if i.marks and _has_all(shapes, i.marks)]
    if not sorts:
        found = ", ".join(sorted(shapes)[:5]) or "nothing"
        message = f"{file} holds {len(shapes)} tensors of no sort of file that is known: {found}"
        hint = "name a file with all models of a pipeline, or the folder that `save_pretrained` wrote"
        raise InputError(problem("E612", message, hint=hint))
    best = max(sorts, key=lambda importer: (len(importer.marks), sum(map(len, importer.marks))))
    return Foreign(file, link, registry, best.foreign, {}, shapes=shapes, options=options)


def _has_all(names: Iterable[str], marks: Iterable[str]) -> bool:
    return all(any(fnmatchcase(name, mark) for name in names) for mark in marks)


def read_config_file(folder: Path, configs: Sequence[str] = CONFIGS) -> dict[str, Any]:
    """What the config of a folder says; nothing where there is none (a tokenizer's folder).

    Raises:
        InputError: E612, it cannot be read.
    """
    for name in configs:
        if (folder / name).is_file():
            return _read_json(folder / name)
    return {}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(problem("E612", f"{file} cannot be read: {error}")) from error
    if not isinstance(found, dict):
        raise InputError(problem("E612", f"{file} holds no record"))
    return found

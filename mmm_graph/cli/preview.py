"""Previews: what a loop shows on the way, taken through the rest of the graph and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmm_graph.api.save import save_outputs
from mmm_graph.api.session import Session
from mmm_graph.graph.graph import Loop
from mmm_graph.runtime.events import Event


class Previews:
    """Handed to a run as its observer; passes every event on."""

    def __init__(self, session: Session, folder: Path, then: Callable[[Event], None]) -> None:
        self._session, self._folder, self._then = session, folder / "preview", then

    def __call__(self, event: Event) -> None:
        """On `preview`: put the shown value where the loop's first output would be, and save what follows."""
        self._then(event)
        if event.kind == "preview":
            self._save(event.node, event.step, event.data)

    def _save(self, path: str, step: int, value: Any) -> None:
        graph = self._session.graph
        node = graph.node(path)
        assert isinstance(node, Loop)
        shown = [name for name, output in graph.outputs.items() if output.save is not None]
        supply = {f"{path}.{next(iter(node.outputs))}": value}
        result = self._session.result(outputs=shown, supply=supply)
        origin = self._session.origin({}, 0, shown)
        prefix = f"{path.replace('/', '.')}-{step:04d}-"
        save_outputs(graph, self._session.registry, result, self._folder, origin=origin, prefix=prefix)

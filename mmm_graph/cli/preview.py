"""Previews: what a loop shows on the way, taken through the rest of the graph and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmm_graph.api.save import save_outputs
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Loop
from mmm_graph.runtime.events import Event


class Previews:
    """Handed to a run as its observer; passes every event on.

    A preview carries no origin: running that again would make the output, not the preview.
    """

    def __init__(
        self, session: Session, folder: Path, seed: int | Sequence[int], then: Callable[[Event], None]
    ) -> None:
        """Raises InputError: no loop of the graph shows anything."""
        self._session, self._folder, self._seed, self._then = session, folder / "preview", seed, then
        if not any(isinstance(node, Loop) and node.preview for node in session.graph.walk()):
            hint = "such as --set nodes.NAME.config.preview=2 for a diffusion.denoise: every 2nd step"
            raise InputError(problem("E301", "--preview: no loop of the graph has a `preview:`", hint=hint))

    def __call__(self, event: Event) -> None:
        """On `preview`: put the shown value where the loop's first output would be, and save what follows."""
        self._then(event)
        if event.kind != "preview":
            return
        graph, path = self._session.graph, event.node
        shown = [name for name, output in graph.outputs.items() if output.save is not None]
        supply = {f"{path}.{next(iter(graph.node(path).outputs))}": event.data}
        result = self._session.result(outputs=shown, supply=supply, seed=self._seed)
        prefix = f"{path.replace('/', '.')}-{event.step:04d}-"
        save_outputs(graph, self._session.registry, result, self._folder, origin=None, prefix=prefix)

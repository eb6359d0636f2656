"""Events -> the observers of plugins. One that fails is reported once and switched off; the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmm_graph.errors import Problem, warning
from mmm_graph.registry.registry import Registry


class Notifier:
    """Hands events of one run to every observer: `notify("mmm_run_event", event)`.

    Attributes:
        failed: (plugin, hook) pairs that raised and are no longer called.
    """

    def __init__(self, registry: Registry, warn: Callable[[Problem], None]) -> None:
        """`warn` gets one W401 for each observer that fails."""
        self.failed: set[tuple[str, str]] = set()
        self._observers = registry.observers
        self._warn = warn

    def beside(self, hook: str, own: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
        """What tells `own` and then the observers that have that hook; `own` itself where none has."""
        if not any(hook in observer.hooks for observer in self._observers):
            return own

        def tell(event: Any) -> None:
            if own is not None:
                own(event)
            self(hook, event)

        return tell

    def __call__(self, hook: str, event: object) -> None:
        """Call that hook of every observer that has it and has not failed."""
        for observer in self._observers:
            if hook not in observer.hooks or (observer.plugin, hook) in self.failed:
                continue
            try:
                observer.call(hook, event)
            except (Exception, SystemExit) as error:  # it may raise anything; Ctrl-C still ends the run
                self.failed.add((observer.plugin, hook))
                message = f"{hook} of plugin {observer.plugin} failed and is now off"
                self._warn(warning("W401", f"{message}: {type(error).__name__}: {error}"))

"""What savers share: options beside `format:`, names of the files of a batch, files that are whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, TypeVar

from pydantic import ValidationError

from mmm_graph.config import Config
from mmm_graph.errors import InputError, problem

Options = TypeVar("Options", bound=Config)


def numbered(path: Path, suffix: str, count: int) -> list[Path]:
    """`path` with the ending for one file, `path`-00, `path`-01 ... for several."""
    width = len(str(max(0, count - 1)))
    names = [path.name] if count == 1 else [f"{path.name}-{i:0{width}d}" for i in range(count)]
    return [path.with_name(name + suffix) for name in names]


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write beside the target and rename: whoever looks sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        unfinished = Path(file.name)
        try:
            write(file)
            file.flush()
            unfinished.chmod(0o644)
            unfinished.replace(path)
        except BaseException:  # Ctrl-C too: no half-written file stays
            unfinished.unlink(missing_ok=True)
            raise


def read_options(options: Mapping[str, Any], kind: type[Options], more: str = "") -> Options:
    """What stands beside `format:` under `save:`.

    Args:
        more: goes on with the hint.

    Raises:
        InputError: E310, an option is unknown or out of range.
    """
    try:
        return kind.model_validate({k: v for k, v in options.items() if k != "format"})
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(kind.model_fields)
        raise InputError(
            problem("E310", f"save options: {found}", hint=f"options are format, {known}{more}")
        ) from error

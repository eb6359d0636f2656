"""`python -m tests.golden.update`: write the golden files as the code makes them now, and say what changed."""

from __future__ import annotations

from mmm_graph.registry import load_registry
from tests.golden.nouns import HERE, golden_texts


def main() -> None:
    texts = golden_texts(load_registry())
    old = {p.name: p for pattern in ("*.json", "*.txt") for p in HERE.glob(pattern)}
    for name in sorted(old.keys() - texts.keys()):
        old[name].unlink()
        print(f"removed {name}")
    for name, text in texts.items():
        if name not in old or old[name].read_text(encoding="utf-8") != text:
            (HERE / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()

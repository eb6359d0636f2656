"""`mmm run` of a full-size example on a small checkpoint that diffusers wrote: everything is set from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Mmm
from tests.plugins.mmm_pipelines import test_pictures
from tests.plugins.mmm_pipelines import tiny as small

pytestmark = pytest.mark.parity

CONFIGS = {
    "text": "{vocab_size: 521, width: 16, depth: 3, num_heads: 2, hidden: 48, eos_id: 520}",
    "unet": "{sample_size: 8, channels: [16, 32], layers_per_block: 1, attention: [cross, none], num_heads: 2,"
    " cond_dim: 16, groups: 8}",
    "vae": "{sample_size: 16, channels: [16, 32], layers_per_block: 1, groups: 8}",
}
FOLDERS = {"tok": "tokenizer", "text": "text_encoder", "unet": "unet", "vae": "vae"}


def test_a_part_of_a_picture_is_painted(mmm: Mmm, tmp_path: Path, root: Path) -> None:
    pipe = test_pictures.stable_diffusion(tmp_path, "ddim", "StableDiffusionInpaintPipeline")
    folder = small.save(pipe, tmp_path / "checkpoint")
    y, x = np.mgrid[0:100, 0:150]
    Image.fromarray(np.stack([x, y, 0 * x + 90], -1).astype("uint8")).save(tmp_path / "room.png")
    hole = np.zeros((200, 300), "uint8")
    hole[50:150, 100:200] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    sets = {f"models.{name}.weights": f"file:{folder / part}" for name, part in FOLDERS.items()}
    sets |= {f"models.{name}.config": config for name, config in CONFIGS.items()}
    sets |= {"dtype": "f32", "steps": "3", "height": "96", "width": "144", "prompt": "the cat"}
    sets |= {"image": str(tmp_path / "room.png"), "mask_image": str(tmp_path / "mask.png")}
    words = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    example = root / "graphs" / "models" / "sd15_inpaint_masked.yaml"
    done = mmm("run", example, *words, "-o", tmp_path / "out", "--seed", 3)
    assert done.status == 0, done.err
    with Image.open(tmp_path / "out" / "image.png") as picture:
        found = np.asarray(picture.convert("RGB"), dtype=float)
    assert found.shape == (96, 144, 3)
    inside, outside = found[30:66, 54:90], found[:12]
    # random weights draw noise, and bring a smooth picture back as a smooth one
    assert inside.std() > 3 * outside.std()
    again = mmm("run", tmp_path / "out" / "image.png", "-o", tmp_path / "again")
    assert again.status == 0, again.err
    pictures = [(tmp_path / where / "image.png").read_bytes() for where in ("out", "again")]
    assert pictures[0] == pictures[1]

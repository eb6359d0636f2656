"""The vision transformer as a list of parts. Axes: b batch, c h w of the image, l tokens, d width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.attention import CrossAttention
from mmm_graph.nn.encoder import EncoderBlock, FinalNorm, Tap, Vector
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.patch import to_patches
from mmm_vit.config import ViTConfig
from mmm_vit.parts import forward_path, hidden_path

LAST = HiddenConfig()
READER = "the vision transformer"


class ViT(nn.Module):
    """Preprocessed images [b,c,h,w] to embeds of their tokens [b,l,d] and one vector [b,d] (or [b,out_dim]).

    Source: Dosovitskiy et al. 2020 (arXiv:2010.11929); Radford et al. 2021 (arXiv:2103.00020), section 2.4.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": block(config) for i in range(config.depth)})
        self.parts["norm"] = FinalNorm(config.width, config.eps)
        self.parts.update({"tap": Tap(), "patches": Tap(skip=int(config.class_token))})
        if config.pool != "none":
            self.parts.update({"pool": POOLS[config.pool](config), "vector": Vector()})
        initialise(self, config)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """{embeds [b,l,d] after the final norm, pooled}."""
        full = run_parts(self.parts, forward_path(self.config), {"image": image})
        return {key: need(full, key, READER) for key in ("embeds", "pooled")}

    def hidden(self, image: Tensor, call: HiddenConfig = LAST) -> Tensor:
        """Embeds [b,l,d] of the layer and the tokens that the call chooses."""
        return need(run_parts(self.parts, hidden_path(self.config, call), {"image": image}), "embeds", READER)


class Embed(nn.Module):
    """image -> h [b,l,d]: patches with their positions, row by row, after the class token."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Linear(config.in_channels * config.patch**2, width, config.patch_bias)
        self.class_token = nn.Parameter(torch.zeros(width)) if config.class_token else None
        self.position = nn.Embedding(config.positions, width)
        self.norm = nn.LayerNorm(width, config.eps) if config.pre_norm else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        image = need(state, "image", READER)
        rows, columns = self._grid(image)
        patch = self.config.patch
        h = self.patch(to_patches(image[..., : rows * patch, : columns * patch], patch))
        if self.class_token is not None:
            h = torch.cat([self.class_token.expand(len(h), 1, -1), h], dim=1)
        return {"h": self.norm(h + self._positions(rows, columns))}

    def _grid(self, image: Tensor) -> tuple[int, int]:
        """Rows and columns of patches."""
        size, patch = self.config.size, self.config.patch
        height, width = image.shape[-2:]
        if not self.config.interpolate and (height, width) != (size, size):
            message = f"an image of {height} x {width} px, but the vision transformer has positions for {size} x {size}"
            hint = f"resize it with image.preprocess, or set interpolate: true for other sizes than {size} x {size}"
            raise RunError(problem("E742", message, hint=hint))
        if min(height, width) < patch:
            message = f"an image of {height} x {width} px holds no patch of {patch} x {patch}"
            raise RunError(problem("E742", message, hint="make it larger with image.preprocess"))
        return height // patch, width // patch

    def _positions(self, rows: int, columns: int) -> Tensor:
        """[l,d], those of the patches interpolated where there are others than `side` x `side` of them."""
        table, side = self.position.weight, self.config.side
        if (rows, columns) == (side, side):
            return table
        first = table.shape[0] - side**2
        wide = table.float() if table.dtype.itemsize < 4 else table
        grid = wide[first:].view(1, side, side, -1).permute(0, 3, 1, 2)  # 1 d side side
        grid = stretch(grid, rows, columns, self.config.grid_offset)
        return torch.cat([table[:first], grid.flatten(2)[0].T.to(table.dtype)])


def stretch(grid: Tensor, rows: int, columns: int, offset: float) -> Tensor:
    """[1,d,side,side] -> [1,d,rows,columns], bicubic.

    With an offset, the step between positions is that of a grid larger by so much, as the first code of DINO has it.
    """
    if not offset:
        return F.interpolate(grid, (rows, columns), mode="bicubic")
    side = grid.shape[-1]
    return F.interpolate(
        grid, scale_factor=((rows + offset) / side, (columns + offset) / side), mode="bicubic"
    )


def block(config: ViTConfig) -> EncoderBlock:
    """One of its blocks."""
    sizes = (config.width, config.num_heads, config.hidden)
    return EncoderBlock(*sizes, config.activation, qkv_bias=config.qkv_bias, eps=config.eps)


class ClassPool(nn.Module):
    """h -> pooled: the class token, projected if the model projects."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.projection = projection(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"pooled": self.projection(need(state, "h", READER)[:, 0])}


class ProbePool(nn.Module):
    """h -> pooled: a learned probe attends to all tokens, and an MLP follows.

    Source: Zhai et al. 2021 (arXiv:2106.04560), section 3.5; Zhai et al. 2023 (arXiv:2303.15343).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.width
        self.probe = nn.Parameter(torch.zeros(width))
        self.attn = CrossAttention(width, width, config.num_heads)
        self.norm = nn.LayerNorm(width, config.eps)
        self.mlp = Mlp(width, config.hidden, config.activation)
        self.projection = projection(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        x = self.attn(self.probe.expand(len(h), 1, -1), h)
        return {"pooled": self.projection((x + self.mlp(self.norm(x)))[:, 0])}


POOLS: dict[str, type[nn.Module]] = {
    "class": ClassPool,
    "class_normed_twice": ClassPool,  # the path norms twice
    "probe": ProbePool,
}


def projection(config: ViTConfig) -> nn.Module:
    """The linear layer on the pooled vector, or nothing."""
    return nn.Identity() if config.out_dim is None else nn.Linear(config.width, config.out_dim, bias=False)


def initialise(model: ViT, config: ViTConfig) -> None:
    """Normal weights whose residual branches shrink with depth. Source: Radford et al. 2021, section 2.5."""
    inner = config.width**-0.5
    branch = inner * (2 * config.depth) ** -0.5
    for name, parameter in model.named_parameters():
        if name.endswith("position.weight"):
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith(("class_token", "probe")):
            nn.init.normal_(parameter, std=inner)
        elif name.endswith(("attn.out.weight", "mlp.down.weight")):
            nn.init.normal_(parameter, std=branch)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=(2 * config.width) ** -0.5 if "mlp.up" in name else inner)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)

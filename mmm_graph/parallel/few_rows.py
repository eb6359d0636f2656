"""What decoding one token is made of, by kernels of our own (few_rows.cpp) that are compiled once on a machine."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("few_rows.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp")
AVX2 = ("-mavx2", "-mfma")
SECONDS = 60
"""More than it takes; a compiler that hangs is as good as none."""
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2, torch.uint8: 3}
"""By what the weight is stored as; uint8 holds two 4-bit numbers."""
ROWS = {torch.float32: 0, torch.bfloat16: 1}
"""What rows may be -> whether they are bfloat16."""
MOST_ROWS = 8
"""With more, torch's product is faster, which reads the weight once for many rows."""


class Matrix(ctypes.Structure):
    """As few_rows.cpp has it: a weight, packed or not, and a bias in the dtype of the rows."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("type", "out", "in_")),
        *((name, ctypes.c_void_p) for name in ("weight", "scales", "bias")),
    )

    @staticmethod
    def of(width: int, weight: Tensor, scales: Tensor | None, bias: Tensor | None) -> Matrix:
        """The tensors must live as long as it is used."""
        places = [None if t is None else t.data_ptr() for t in (weight, scales, bias)]
        return Matrix(TYPES[weight.dtype], len(weight), width, *places)


class Block(ctypes.Structure):
    """As few_rows.cpp has it: a block of a decoder, x + attn(norm(x)), x + mlp(norm(x))."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("kv_heads", "group", "dim")),
        *((name, ctypes.c_float) for name in ("eps1", "eps2")),
        *((name, ctypes.c_void_p) for name in ("norm1", "norm2")),
        *((name, Matrix) for name in ("qkv", "out", "gate_up", "down")),
    )


class Kernels:
    """The compiled functions.

    Args:
        library: file.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        sizes, places = [ctypes.c_long] * 3, [ctypes.c_void_p] * 5
        self._rows, self._unpack, self._attend = loaded.mmm_rows, loaded.mmm_unpack, loaded.mmm_attend
        self._norm, self._gated = loaded.mmm_norm, loaded.mmm_gated
        self._norm.argtypes = [ctypes.c_int, *sizes[:2], ctypes.c_float, *places[:3]]
        self._gated.argtypes = [ctypes.c_int, *sizes[:2], *places[:2]]
        self._attend.argtypes = [*[ctypes.c_int] * 2, *[ctypes.c_long] * 8, *places]
        self._block = loaded.mmm_block
        self._block.argtypes = [*[ctypes.c_int] * 2, ctypes.POINTER(Block), *[ctypes.c_long] * 5, *places]
        self._block.restype = None
        self._norm.restype = self._gated.restype = self._attend.restype = None
        self._rows.argtypes, self._rows.restype = [*[ctypes.c_int] * 3, *sizes, *places], None
        self._unpack.argtypes, self._unpack.restype = [*[ctypes.c_int] * 2, *sizes[:2], *places[:3]], None

    def rows(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, scales: Tensor | None = None
    ) -> Tensor:
        """x [..., i] times weight [o, ...] -> [..., o] in the dtype of x; see `can_take` for what may be given."""
        width, out_dim = x.shape[-1], weight.shape[0]
        y = x.new_empty((*x.shape[:-1], out_dim))
        threads = torch.get_num_threads()
        self._rows(
            TYPES[weight.dtype], ROWS[x.dtype], threads, x.numel() // width, out_dim, width,
            x.data_ptr(), weight.data_ptr(), None if scales is None else scales.data_ptr(),
            None if bias is None else bias.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        return y

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """RMS norm of the rows of x [..., i], which `can_take` has taken."""
        y, width = torch.empty_like(x), x.shape[-1]
        where = (x.data_ptr(), weight.data_ptr(), y.data_ptr())
        self._norm(ROWS[x.dtype], x.numel() // width, width, eps, *where)
        return y

    def gated(self, x: Tensor) -> Tensor:
        """[gate, up] [..., 2 i], which `can_take` has taken -> silu(gate) * up [..., i]."""
        width = x.shape[-1] // 2
        y = x.new_empty((*x.shape[:-1], width))
        self._gated(ROWS[x.dtype], y.numel() // width, width, x.data_ptr(), y.data_ptr())
        return y

    def attend(
        self, qkv: Tensor, turn: tuple[Tensor, Tensor] | None, cache: Tensor, at: int, first: int = 0
    ) -> Tensor:
        """One token of each text attends to those before it; its keys and values are written.

        Args:
            qkv: [b,1,(n + 2 m) k], queries, keys and values side by side; `can_take` has taken it.
            turn: cosines and signed sines of rotary positions, [b or 1,1,1,k].
            cache: [2,b,m,T,k] of the same dtype, contiguous.
            at: the place after that of the token.
            first: the first place that it sees.
        """
        _, batch, kv_heads, room, dim = cache.shape
        heads = qkv.shape[-1] // dim - 2 * kv_heads
        y = qkv.new_empty((batch, 1, heads * dim))
        cos, sin = (None, None) if turn is None else (turn[0].data_ptr(), turn[1].data_ptr())
        self._attend(
            ROWS[qkv.dtype], torch.get_num_threads(), batch, kv_heads, heads // kv_heads, dim, room, at, first,
            1 if turn is None else len(turn[0]), qkv.data_ptr(), cos, sin, cache.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        return y

    def block(
        self,
        block: Block,
        x: Tensor,
        turn: tuple[Tensor, Tensor] | None,
        cache: Tensor,
        at: int,
        first: int = 0,
    ) -> Tensor:
        """A whole block for one token of each text, [b,1,d]; the others as of `attend`."""
        y = torch.empty_like(x)
        cos, sin = (None, None) if turn is None else (turn[0].data_ptr(), turn[1].data_ptr())
        self._block(
            ROWS[x.dtype], torch.get_num_threads(), block, len(x), cache.shape[3], at, first,
            1 if turn is None else len(turn[0]), x.data_ptr(), cos, sin, cache.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        return y

    def unpack(self, codes: Tensor, scales: Tensor, width: int) -> Tensor:
        """Packed rows [o, ...] and their scales -> float32 [o, width]."""
        out = torch.empty(len(codes), width)
        where = (codes.data_ptr(), scales.data_ptr(), out.data_ptr())
        self._unpack(TYPES[codes.dtype], torch.get_num_threads(), len(codes), width, *where)
        return out


def can_take(x: Tensor, weight: Tensor | None = None, others: Sequence[Tensor | None] = ()) -> bool:
    """Whether kernels may be called: a few rows on a CPU, everything contiguous, no gradients.

    Args:
        others: what must be of the dtype of x, such as a bias.
    """
    return (
        x.device.type == "cpu"
        and x.dtype in ROWS
        and 0 < x.numel() <= MOST_ROWS * x.shape[-1]
        and (weight is None or (weight.dtype in TYPES and weight.is_contiguous()))
        and x.is_contiguous()
        and all(t is None or (t.dtype is x.dtype and t.is_contiguous()) for t in others)
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


@lru_cache(maxsize=1)
def kernels() -> Kernels | None:
    """The kernel, compiled if this machine has not done so yet; None where it has no compiler that can."""
    try:
        return Kernels(_library(Path.home() / ".cache" / "mmm_graph"))
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None


def _library(folder: Path) -> Path:
    """The compiled file, named after all that it depends on.

    Raises:
        OSError: there is no compiler, or nothing can be written.
        subprocess.SubprocessError: it refuses.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise OSError("there is no C++ compiler")
    has_avx2 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    flags = (*FLAGS, *(AVX2 if has_avx2 else ()))
    said = (*flags, compiler, platform.machine(), torch.__version__)
    key = hashlib.blake2b(SOURCE.read_bytes() + " ".join(said).encode(), digest_size=8).hexdigest()
    library = folder / f"few_rows-{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}")
        try:
            _run(compiler, *flags, "-c", str(SOURCE), "-o", f"{made}.o")
            # Not linked with the compiler's OpenMP: torch has one in the process, and two would wait for each other.
            _run(compiler, "-shared", f"{made}.o", "-o", f"{made}.so")
            Path(f"{made}.so").replace(library)
        finally:
            Path(f"{made}.o").unlink(missing_ok=True)
            Path(f"{made}.so").unlink(missing_ok=True)
    return library


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)

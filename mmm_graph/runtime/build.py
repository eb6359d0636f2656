"""Model nodes -> built objects: on the meta device, filled from files or by `init:`, when they are first used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import Checkpoint, open_checkpoint
from mmm_graph.checkpoint.source import Source, resolve_source
from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry.node_type import ModelType, resolve
from mmm_graph.registry.registry import Registry

"""The step rules. Each works on x = alpha x0 + sigma eps of any law: one formula for diffusion and flows."""

from __future__ import annotations

from mmm_diffusion.samplers.dpmpp import DPMpp2M, DPMppSDE
from mmm_diffusion.samplers.first_order import DDIM, DDPM, Euler, EulerAncestral
from mmm_diffusion.samplers.heun import Heun
from mmm_diffusion.samplers.lcm import LCM
from mmm_diffusion.samplers.lms import LMS
from mmm_diffusion.samplers.pndm import PNDM
from mmm_diffusion.samplers.unipc import UniPC

__all__ = [
    "DDIM",
    "DDPM",
    "LCM",
    "LMS",
    "PNDM",
    "DPMpp2M",
    "DPMppSDE",
    "Euler",
    "EulerAncestral",
    "Heun",
    "UniPC",
]

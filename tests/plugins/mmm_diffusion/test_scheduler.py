from __future__ import annotations

import pytest
import torch

from mmm_diffusion import config as c
from mmm_diffusion import scheduler as s
from mmm_graph.nn.noise import Noise
from mmm_graph.nn.sampler import to_x0

LAWS = {
    "linear": lambda **k: s.Linear(c.BetaConfig(**k)),
    "scaled_linear": lambda **k: s.ScaledLinear(c.ScaledLinearConfig(**k)),
    "cosine": lambda **k: s.Cosine(c.CosineConfig(**k)),
    "flow": lambda **k: s.Flow(c.FlowConfig(**{"time_scale": 1000.0, **k})),
}
laws = pytest.mark.parametrize("name", LAWS)


def noise(count, index=()):
    return Noise((3,), "noised", tuple(range(count)), index)


@laws
def test_levels_rise_in_signal_and_end_clean(name):
    times = LAWS[name]().times(c.TimesConfig(steps=20))
    assert times.count == 20 and times.t.dtype == times.alpha.dtype == torch.float64
    assert len(times.alpha) == len(times.sigma) == 21
    assert (times.alpha.diff() > 0).all() and (times.sigma.diff() < 0).all()
    assert times.level(20) == (1.0, 0.0)
    unit = times.alpha + times.sigma if name == "flow" else times.alpha**2 + times.sigma**2
    torch.testing.assert_close(unit, torch.ones_like(unit))


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine"])
def test_marginals_of_the_forward_process(name):
    """x_t has mean alpha x0 and standard deviation sigma (Ho et al. 2020, eq. 4), over the t that were drawn."""
    law = LAWS[name]()
    x = torch.full((4096, 1, 4, 4), 0.7, dtype=torch.float64)
    out = law.add_noise(x, noise(4096))
    bar = law.alpha_bar[out["t"].long()]
    eps = (out["x"] - bar.sqrt()[:, None, None, None] * x) / (1 - bar).sqrt()[:, None, None, None]
    assert abs(float(eps.mean())) < 0.02 and abs(float(eps.std()) - 1) < 0.02
    torch.testing.assert_close(eps, out["target"])
    torch.testing.assert_close(out["snr"].double(), bar / (1 - bar), rtol=1e-5, atol=0)
    t = out["t"]
    assert t.dtype == torch.float32 and t.min() >= 0 and t.max() <= 999 and abs(float(t.mean()) - 499.5) < 15


@laws
@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample", "flow"])
def test_the_target_gives_back_x0(name, prediction):
    if (name == "flow") != (prediction == "flow"):
        with pytest.raises(ValueError, match="prediction"):
            LAWS[name](prediction=prediction)
        return
    law = LAWS[name](prediction=prediction)
    x = torch.randn(6, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out = law.add_noise(x, noise(6))
    for k in range(6):
        ratio = float(out["snr"][k].double()) ** 0.5
        alpha = ratio / (1 + ratio) if name == "flow" else float(law.alpha_bar[int(out["t"][k])].sqrt())
        sigma = 1 - alpha if name == "flow" else (1 - alpha**2) ** 0.5
        found = to_x0(out["target"][k], out["x"][k], alpha, sigma, prediction)
        torch.testing.assert_close(found, x[k], rtol=1e-4, atol=1e-4)


def test_flow_densities():
    plain = LAWS["flow"]().add_noise(torch.zeros(4096, 1, 1, 1), noise(4096))["t"] / 1000
    assert abs(float(plain.mean()) - 0.5) < 0.02 and plain.max() <= 1 and plain.min() > 0
    config = {"density": "logit_normal", "logit_mean": 0.5, "logit_std": 0.7, "time_scale": 1.0}
    drawn = LAWS["flow"](**config).add_noise(torch.zeros(4096, 1, 1, 1), noise(4096))["t"]
    logit = torch.logit(drawn)
    assert abs(float(logit.mean()) - 0.5) < 0.05 and abs(float(logit.std()) - 0.7) < 0.05
    modes = {"density": "mode", "time_scale": 1.0}
    middle = LAWS["flow"](**modes).add_noise(torch.zeros(4096, 1, 1, 1), noise(4096))["t"]
    assert middle.max() <= 1 and middle.min() > 0 and abs(float(middle.mean()) - 0.5) < 0.02
    even = LAWS["flow"](**modes, mode_scale=0.0).add_noise(torch.zeros(4096, 1, 1, 1), noise(4096))["t"]
    torch.testing.assert_close(even, plain)
    assert middle.std() < even.std() - 0.05
    shifted = LAWS["flow"](shift=3.0).add_noise(torch.zeros(4096, 1, 1, 1), noise(4096))["t"] / 1000
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))


@pytest.mark.parity
@pytest.mark.parametrize("scale", [-1.0, 0.81, 1.29])
def test_the_mode_density_is_that_of_diffusers(scale, monkeypatch):
    """Theirs and ours are functions of one uniform number."""
    from diffusers.training_utils import compute_density_for_timestep_sampling

    drawn = noise(64).uniform(dtype=torch.float64, name="t")
    monkeypatch.setattr(torch, "rand", lambda size, **_: drawn)
    want = compute_density_for_timestep_sampling("mode", 64, mode_scale=scale)
    monkeypatch.undo()
    law = LAWS["flow"](density="mode", mode_scale=scale, time_scale=1.0)
    torch.testing.assert_close(law.draw(noise(64))[2], want)


@laws
def test_an_element_is_noised_the_same_in_any_batch(name):
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    whole = LAWS[name]().add_noise(x, noise(5))
    part = LAWS[name]().add_noise(x[[3, 1]], Noise((3,), "noised", (3, 1), ()))
    assert all(torch.equal(part[k], whole[k][[3, 1]]) for k in whole)


@laws
def test_image_to_image_starts_at_the_first_level_that_is_left(name):
    law = LAWS[name]()
    times = law.times(c.TimesConfig(steps=20, strength=0.5))
    full = law.times(c.TimesConfig(steps=20))
    assert (
        times.count == 10 and torch.equal(times.alpha, full.alpha[10:]) and torch.equal(times.t, full.t[10:])
    )
    x = torch.full((512, 1, 4, 4), 0.4, dtype=torch.float64)
    noised = law.add_noise_at(x, times, noise(512))
    alpha, sigma = times.level(0)
    assert abs(float(noised.mean()) - 0.4 * alpha) < 0.05 and abs(float(noised.std()) - sigma) < 0.05


@laws
def test_where_a_run_from_clean_latents_starts(name):
    law = LAWS[name]()
    whole, half = (law.times(c.TimesConfig(steps=20, strength=s)) for s in (1.0, 0.5))
    assert (whole.skipped, half.skipped) == (0, 10)
    x, eps = torch.randn(2, 2, 1, 4, 4, dtype=torch.float64)
    for times in (whole, half):
        alpha, sigma = times.level(0)
        mixed = law.add_noise_at(x, times, noise(2), eps)
        assert torch.equal(mixed, alpha * x + sigma * eps)
        for scale in ("none", "sigma"):
            found = law.add_noise_at(x, times, noise(2), eps, c.StartConfig(full="noise", scale=scale))
            alone = sigma * eps if scale == "sigma" else eps
            assert torch.equal(found, mixed if times.skipped else alone)


def test_explicit_times_are_a_sub_sequence():
    """DDIM's tau of Song et al. 2021: quadratic spacing, given as a list."""
    tau = tuple(float(int((i / 10) ** 2 * 0.8 * 1000)) for i in range(10, 0, -1))
    law = LAWS["linear"]()
    times = law.times(c.TimesConfig(timesteps=tau))
    assert times.t.tolist() == list(tau)
    torch.testing.assert_close(times.alpha[:-1] ** 2, law.alpha_bar[times.t.long()])
    flow = LAWS["flow"]().times(c.TimesConfig(timesteps=(900.0, 250.0)))
    assert flow.sigma.tolist() == [0.9, 0.25, 0.0]


def test_fractional_times_lie_between_their_neighbours():
    law = LAWS["scaled_linear"]()
    times = law.times(c.TimesConfig(timesteps=(500.5,)))
    low, high = law.alpha_bar[501], law.alpha_bar[500]
    assert low < times.alpha[0] ** 2 < high
    assert float(law.times(c.TimesConfig(timesteps=(999.0,))).alpha[0] ** 2) == pytest.approx(
        float(law.alpha_bar[999])
    )


def test_sigmas_and_their_times_belong_together():
    law = LAWS["scaled_linear"]()
    whole = law.times(c.TimesConfig(steps=10))
    ratio = tuple((whole.sigma / whole.alpha)[:-1].tolist())
    again = law.times(c.TimesConfig(sigmas=ratio))
    torch.testing.assert_close(again.t, whole.t)
    torch.testing.assert_close(again.alpha, whole.alpha)
    assert torch.equal(law.times(c.TimesConfig(sigmas=ratio, round=True)).t, whole.t)


def test_final_first_and_zero_terminal_snr():
    law = LAWS["scaled_linear"](prediction="v", zero_terminal_snr=True)
    times = law.times(c.TimesConfig(steps=5, final="first"))
    assert times.level(0) == (0.0, 1.0)
    assert times.level(5)[0] == pytest.approx(float(law.alpha_bar[0]) ** 0.5)
    assert float(law.alpha_bar[0]) == pytest.approx(1 - 0.00085)


def test_midpoints_and_landings_stand_between():
    law = LAWS["scaled_linear"]()
    plain = law.times(c.TimesConfig(steps=4))
    times = law.times(c.TimesConfig(steps=4, between="midpoints"))
    assert torch.equal(times.alpha[:-1:2], plain.alpha[:-1]) and times.level(7) == (1.0, 0.0)
    logs = (times.alpha / times.sigma)[:-1].log()
    torch.testing.assert_close(logs[1::2], (logs[:-1:2] + logs[2::2]) / 2)
    landed = law.times(c.TimesConfig(steps=4, spacing="linspace", between="landings", final="first"))
    assert landed.t.tolist() == [999, 749, 666, 416, 333, 83, 0]
    torch.testing.assert_close(landed.alpha[1::2] ** 2, law.alpha_bar[[749, 416, 83, 0]])


def test_whole_times_and_the_last_level():
    law = LAWS["scaled_linear"]()
    by_round = {
        r: law.times(c.TimesConfig(steps=5, spacing="karras", round=r)).t for r in (None, True, "down")
    }
    assert torch.equal(by_round["down"], by_round[None].floor())
    assert torch.equal(by_round[True], by_round[None].round())
    for name in ("linear", "flow"):
        last = LAWS[name]().times(c.TimesConfig(steps=5, final="last"))
        assert last.level(5) == last.level(4)


def test_karras_may_keep_to_the_ends_of_another_spacing():
    law = LAWS["scaled_linear"]()
    spaced = law.times(c.TimesConfig(steps=5, spacing="leading", steps_offset=1))
    times = law.times(c.TimesConfig(steps=5, spacing="karras", ends="leading", steps_offset=1))
    torch.testing.assert_close(times.t[[0, -1]], spaced.t[[0, -1]])


def test_a_little_signal_may_be_left():
    law = LAWS["scaled_linear"](zero_terminal_snr=True, terminal=2**-24)
    assert law.times(c.TimesConfig(steps=2)).level(0)[0] == 2**-12


class Window(Noise):
    """Noise of rows 1 and 2 of four, as the engine hands it to a piece: drawn for the whole, then cut."""

    def normal(self, shape, **more):
        if len(shape) < 3:
            return super().normal(shape, **more)
        return super().normal((shape[0], 4, *shape[2:]), **more)[:, :, 1:3]


@laws
def test_rows_are_noised_as_in_the_whole(name):
    law, times = LAWS[name](), LAWS[name]().times(c.TimesConfig(steps=4))
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    window = Window((3,), "noised", (0, 1))
    whole, part = law.add_noise(x, noise(2)), law.add_noise(x[:, :, 1:3], window)
    assert torch.equal(part["t"], whole["t"]) and torch.equal(part["snr"], whole["snr"])
    assert all(torch.equal(part[key], whole[key][:, :, 1:3]) for key in ("x", "target"))
    again = law.add_noise_at(x[:, :, 1:3], times, window)
    assert torch.equal(again, law.add_noise_at(x, times, noise(2))[:, :, 1:3])

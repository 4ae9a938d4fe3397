"""GLCIC to the layer: Iizuka, Simo-Serra and Ishikawa 2017, networks, objective and schedule."""

from math import log
from typing import Any

import pytest
import torch
from generator_contract import GeneratorContract, holed, stirred
from torch import Tensor, nn

from inpaintkit.models import GENERATORS, SYSTEMS, Batch, Completion
from inpaintkit.models.glcic import PLACES2_MEAN, CompletionNetwork, Discriminators, objective, schedule
from inpaintkit.models.published import load_matching
from inpaintkit.tensors import composite, crop_at

# kernel, stride, dilation, padding, in, out; "up" is the transposed convolution that doubles the size
LAYERS = [
    ("conv", 5, 1, 1, 2, 4, 64),
    ("conv", 3, 2, 1, 1, 64, 128),
    ("conv", 3, 1, 1, 1, 128, 128),
    ("conv", 3, 2, 1, 1, 128, 256),
    ("conv", 3, 1, 1, 1, 256, 256),
    ("conv", 3, 1, 1, 1, 256, 256),
    ("conv", 3, 1, 2, 2, 256, 256),
    ("conv", 3, 1, 4, 4, 256, 256),
    ("conv", 3, 1, 8, 8, 256, 256),
    ("conv", 3, 1, 16, 16, 256, 256),
    ("conv", 3, 1, 1, 1, 256, 256),
    ("conv", 3, 1, 1, 1, 256, 256),
    ("up", 4, 2, 1, 1, 256, 128),
    ("conv", 3, 1, 1, 1, 128, 128),
    ("up", 4, 2, 1, 1, 128, 64),
    ("conv", 3, 1, 1, 1, 64, 32),
    ("conv", 3, 1, 1, 1, 32, 3),
]
CONVOLUTION_PARAMETERS = [
    6_464, 73_856, 147_584, 295_168, 590_080, 590_080, 590_080, 590_080, 590_080, 590_080, 590_080, 590_080, 524_416,
    147_584, 131_136, 18_464, 867,
]  # fmt: skip


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _only(value: tuple[Any, ...]) -> Any:
    """The number that stands for both directions."""
    assert len(set(value)) == 1
    return value[0]


def _row(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[Any, ...]:
    kind = "up" if isinstance(layer, nn.ConvTranspose2d) else "conv"
    numbers = (_only(getattr(layer, name)) for name in ("kernel_size", "stride", "dilation", "padding"))
    return (kind, *numbers, layer.in_channels, layer.out_channels)


def _leaves(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if not list(m.children())]


@pytest.fixture(scope="module")
def paper() -> CompletionNetwork:
    """The completion network at full width, without memory."""
    with torch.device("meta"):
        return CompletionNetwork()


# --- 3.2 Completion network ------------------------------------------------------------------------------------------


class TestGLCIC(GeneratorContract):
    name = "glcic"
    arguments = {"width": 16, "mean": (0.4, 0.45, 0.5)}  # noqa: RUF012
    size_multiple = 4


class TestGLCICWithGroupNormalisation(GeneratorContract):
    name = "glcic"
    arguments = {"width": 16, "groups": 4}  # noqa: RUF012
    size_multiple = 4

    def test_no_batch_normalisation_is_left(self, generator):
        kinds = [type(m) for m in _leaves(generator)]
        assert nn.BatchNorm2d not in kinds
        assert kinds.count(nn.GroupNorm) == 16
        assert {m.num_groups for m in _leaves(generator) if isinstance(m, nn.GroupNorm)} == {4}

    def test_training_and_filling_compute_the_same(self):
        generator = self.make()
        image, mask = holed(2, 32, 32)
        with torch.no_grad():
            assert torch.equal(generator.train()(image, mask).image, generator.eval()(image, mask).image)


def test_the_layer_table(paper):
    convolutions = [m for m in _leaves(paper) if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [_row(layer) for layer in convolutions] == LAYERS
    assert [_count(layer) for layer in convolutions] == CONVOLUTION_PARAMETERS
    assert all(layer.bias is not None for layer in convolutions)
    assert all(layer.padding_mode == "zeros" for layer in convolutions)
    assert all(layer.groups == 1 for layer in convolutions)


def test_convolution_then_normalisation_then_relu_and_a_bare_last_layer_under_a_sigmoid(paper):
    kinds = [type(m) for m in _leaves(paper)]
    transposed = {12, 14}
    expected = []
    for number in range(16):
        expected += [nn.ConvTranspose2d if number in transposed else nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*expected, nn.Conv2d, nn.Sigmoid]


def test_six_million_and_some_parameters(paper):
    assert _count(paper) == 6_072_131
    assert sum(_count(m) for m in _leaves(paper) if isinstance(m, nn.BatchNorm2d)) == 5_952
    assert GENERATORS["glcic"] is CompletionNetwork


def test_width_scales_every_layer():
    with torch.device("meta"):
        narrow = CompletionNetwork(width=16)
    rows = [_row(m) for m in _leaves(narrow) if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    scaled = [
        (*row[:5], row[5] if row[5] == 4 else row[5] // 4, row[6] if row[6] == 3 else row[6] // 4) for row in LAYERS
    ]
    assert rows == scaled


def test_the_hole_enters_as_the_mean_colour_and_the_mask_as_fourth_channel():
    mean = (0.1, 0.2, 0.7)
    network = CompletionNetwork(width=2, mean=mean)
    entered: list[Tensor] = []
    network.layers[0].register_forward_pre_hook(lambda module, arguments: entered.append(arguments[0]))
    image, mask = holed(2, 16, 20)
    network(image, mask)
    hole = (mask == 1).expand_as(image)
    colour = torch.tensor(mean).view(1, 3, 1, 1)
    assert entered[0].shape == (2, 4, 16, 20)
    assert torch.equal(entered[0][:, 3:], mask)
    assert not entered[0][:, :3][hole].any()  # the mean, minus the mean
    assert torch.equal(entered[0][:, :3][~hole], (image - colour)[~hole])


def test_the_mean_is_that_of_the_published_model_and_no_weight():
    network = CompletionNetwork(width=2)
    assert PLACES2_MEAN == (0.4560, 0.4472, 0.4155)
    assert network.mean.flatten().tolist() == pytest.approx(PLACES2_MEAN)
    assert "mean" not in network.state_dict()


def test_an_output_pixel_sees_299_to_303_pixels():
    """With every weight positive the reach of a gradient is the receptive field."""
    network = CompletionNetwork(width=2).eval()
    for layer in _leaves(network):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            nn.init.zeros_(layer.bias)
    body = nn.Sequential(*network.layers[:-1], network.layers[-1][0])  # without the sigmoid, which may saturate
    seen = torch.ones(1, 4, 312, 312, requires_grad=True)
    output = body(seen)
    spans = set()
    for offset in range(4):  # the place within the 4 x 4 cell of the coarsest grid
        (gradient,) = torch.autograd.grad(output[0, 0, 154 + offset, 154 + offset], seen, retain_graph=True)
        rows, columns = (gradient[0].sum((0, axis)).nonzero().flatten() for axis in (2, 1))
        assert 0 < rows[0] < rows[-1] < 311  # the frame cuts nothing off
        spans |= {int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1}
    assert (min(spans), max(spans)) == (299, 303)


def test_the_raw_output_covers_known_pixels_too():
    """Not composited: losses on known pixels, and the exported graph's own composite, need it raw."""
    network = stirred(CompletionNetwork(width=4)).eval()
    image, mask = holed(1, 16, 16)
    with torch.inference_mode():
        completed = network(image, mask).image
    known = (mask == 0).expand_as(image)
    assert not torch.equal(completed[known], image[known])


# --- 3.3 Context discriminators --------------------------------------------------------------------------------------


def _fully_connected(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in _leaves(module) if isinstance(m, nn.Linear)]


def test_parameters_of_the_discriminators_at_256():
    with torch.device("meta"):
        both = Discriminators(256)
    assert _count(both.whole) == 25_808_384
    assert _count(both.local) == 19_253_248
    assert _count(both.join) == 2_049
    assert _count(both) == 45_063_681
    assert _fully_connected(both.whole) == [(8192, 1024)]
    assert _fully_connected(both.local) == [(8192, 1024)]
    assert _fully_connected(both.join) == [(2048, 1)]
    assert both.local_size == 128


def test_at_128_both_first_fully_connected_layers_are_2048_to_1024():
    with torch.device("meta"):
        both = Discriminators(128)
    assert _fully_connected(both.whole) == [(2048, 1024)]
    assert _fully_connected(both.local) == [(2048, 1024)]
    assert _fully_connected(both.join) == [(2048, 1)]
    assert both.local_size == 64


def test_the_face_models_160_pixels_give_the_spec_sizes():
    with torch.device("meta"):
        both = Discriminators(160)
    assert _fully_connected(both.whole) == [(3 * 3 * 512, 1024)]


@pytest.mark.parametrize(
    ("part", "channels"), [("whole", [64, 128, 256, 512, 512, 512]), ("local", [64, 128, 256, 512, 512])]
)
def test_the_discriminators_layer_tables(part, channels):
    with torch.device("meta"):
        encoder = getattr(Discriminators(256), part)
    convolutions = [m for m in _leaves(encoder) if isinstance(m, nn.Conv2d)]
    inside = [3, *channels[:-1]]  # colours alone: the mask is no input
    assert [_row(m) for m in convolutions] == [
        ("conv", 5, 2, 1, 2, a, b) for a, b in zip(inside, channels, strict=True)
    ]
    kinds = [type(m) for m in _leaves(encoder)]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * len(channels) + [nn.Flatten, nn.Linear, nn.ReLU]


@pytest.mark.parametrize("size", [32, 48, 64, 96])
def test_the_discriminators_fit_other_sizes(size):
    judge = Discriminators(size, width=4, features=8)
    corner = torch.tensor([0, size - size // 2])
    assert judge(torch.rand(2, 3, size, size), corner, corner).shape == (2, 1)


def test_both_discriminators_and_every_parameter_have_a_say():
    judge = stirred(Discriminators(64, width=4, features=8)).train()
    image = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    corner = torch.tensor([0, 5, 20, 32])
    (judge(image, corner, corner) * torch.tensor([[1.0], [2.0], [-3.0], [0.5]])).sum().backward()
    assert [n for n, p in judge.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_local_discriminator_sees_the_crop_and_the_global_one_everything():
    judge = Discriminators(64, width=2, features=4)
    seen: dict[str, Tensor] = {}
    for part in ("whole", "local"):
        getattr(judge, part).register_forward_pre_hook(lambda _, x, part=part: seen.update({part: x[0]}))
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    top, left = torch.tensor([3, 30]), torch.tensor([32, 0])
    judge(image, top, left)
    assert torch.equal(seen["whole"], image)
    assert torch.equal(seen["local"], crop_at(image, top, left, 32))


def test_convolutions_carry_over_from_128_to_256_and_the_rest_is_named():
    small = stirred(Discriminators(128, width=4, features=8))
    large = Discriminators(256, width=4, features=8)
    fresh = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    left = load_matching(large, small.state_dict())
    assert set(left) == {
        f"{part}.{len(getattr(large, part)) - 2}.{name}" for part in ("whole", "local") for name in ("weight", "bias")
    }
    for name, tensor in large.state_dict().items():
        kept = fresh[name] if name in left else small.state_dict()[name]
        assert torch.equal(tensor, kept), name


def test_the_completion_network_carries_over_whole():
    assert load_matching(CompletionNetwork(width=4), CompletionNetwork(width=4).state_dict()) == []


def test_load_matching_takes_a_layer_whole_or_not_at_all():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    given = {
        "0.weight": torch.ones(2, 4),  # does not fit
        "0.bias": torch.ones(2),
        "2.weight": torch.ones(1, 2),
        "2.bias": torch.ones(1),
        "9.bias": torch.ones(1),
    }
    assert load_matching(network, given) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in ("0.weight", "0.bias", "1.weight", "1.bias"))
    assert torch.equal(after["2.weight"], torch.ones(1, 2))
    assert torch.equal(after["2.bias"], torch.ones(1))


# --- 3.4 Objective ---------------------------------------------------------------------------------------------------


class _PaintsNoise(nn.Module):
    """A generator whose raw output is one parameter, so that every gradient can be read off."""

    def __init__(self, n: int, size: int) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(8)))
        self.calls = 0

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        self.calls += 1
        return Completion(self.output * 1)


class _Watches(nn.Module):
    """Discriminators that keep what they are shown and say half the mean, plus a bias, of the crop."""

    def __init__(self, local_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(0.3))
        self.local_size = local_size
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, image: Tensor, top: Tensor, left: Tensor) -> Tensor:
        self.shown.append((image, top, left))
        crop = crop_at(image, top, left, self.local_size)
        return (image.mean((1, 2, 3)) + 0.5 * crop.mean((1, 2, 3)) + self.bias)[:, None]


def _square(n: int, size: int, top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(n, 1, size, size)
    mask[:, :, top : top + side, left : left + side] = 1
    return mask


@pytest.fixture
def scene():
    """A batch of four with holes that fit the crop of 16 px, and the networks that watch."""
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    batch = Batch(image, _square(4, 32, 4, 6, 10), _square(4, 32, 18, 20, 8))
    networks = {"generator": _PaintsNoise(4, 32), "discriminators": _Watches(16)}
    return networks, batch


def _losses(networks, batch, seed: int = 0):
    return objective(networks, batch, torch.Generator().manual_seed(seed))


def test_reconstruction_is_the_squared_error_in_the_hole_over_the_whole_tensor(scene):
    networks, batch = scene
    raw = networks["generator"].output.detach()
    by_hand = float((((raw - batch.image) ** 2) * batch.mask).sum()) / (4 * 3 * 32 * 32)
    assert _losses(*scene)["reconstruction"]().item() == pytest.approx(by_hand, rel=1e-5)


def test_the_discriminators_see_the_composite_and_real_photos_whole(scene):
    networks, batch = scene
    _losses(*scene)["discrimination"]()
    shown = [image for image, _, _ in networks["discriminators"].shown]
    fake = composite(batch.image, batch.mask, networks["generator"].output)
    assert len(shown) == 2
    assert sum(torch.equal(image, batch.image) for image in shown) == 1  # M_d erases nothing
    seen_fake = next(image for image in shown if not torch.equal(image, batch.image))
    assert torch.equal(seen_fake, fake)
    known = (batch.mask == 0).expand_as(fake)
    assert torch.equal(seen_fake[known], batch.image[known])


def test_completed_photos_are_cropped_on_their_hole_and_real_ones_on_a_mask_of_their_own(scene):
    networks, batch = scene
    _losses(*scene)["discrimination"]()
    for image, top, left in networks["discriminators"].shown:
        real = torch.equal(image, batch.image)
        # holes at (4, 6) of 10 px and (18, 20) of 8 px, crop of 16 px clamped into 32 px
        assert set(zip(top.tolist(), left.tolist(), strict=True)) == ({(14, 16)} if real else {(1, 3)})


def test_the_real_crop_does_not_depend_on_the_hole(scene):
    networks, batch = scene
    _losses(networks, batch)["discrimination"]()
    _losses(networks, batch._replace(mask=_square(4, 32, 0, 0, 3)))["discrimination"]()
    real = [(top, left) for image, top, left in networks["discriminators"].shown if torch.equal(image, batch.image)]
    assert torch.equal(real[0][0], real[1][0])
    assert torch.equal(real[0][1], real[1][1])


def test_wide_holes_are_cropped_anew_every_step_and_for_every_sample(scene):
    networks, batch = scene
    wide = batch._replace(mask=_square(4, 32, 1, 1, 30), reference_mask=_square(4, 32, 2, 2, 29))
    corners = []
    for step in range(2):
        _losses(networks, wide, seed=step)["discrimination"]()
        corners += [
            tuple(zip(t.tolist(), k.tolist(), strict=True)) for _, t, k in networks["discriminators"].shown[-2:]
        ]
    assert len(set(corners)) == 4  # fake and real, both steps
    assert all(len(set(corner)) > 1 for corner in corners)


def test_both_updates_of_a_joint_step_judge_the_same_crop_of_one_completion(scene):
    networks, batch = scene
    losses = _losses(networks, batch._replace(mask=_square(4, 32, 1, 1, 30)))
    for name in ("discrimination", "reconstruction", "adversarial"):
        losses[name]()
    fakes = [shown for shown in networks["discriminators"].shown if not torch.equal(shown[0], batch.image)]
    assert networks["generator"].calls == 1
    assert torch.equal(fakes[0][0], fakes[1][0])
    assert torch.equal(fakes[0][1], fakes[1][1])
    assert torch.equal(fakes[0][2], fakes[1][2])


def test_the_adversarial_term_is_minus_log_d(scene):
    networks, batch = scene
    value = _losses(*scene)["adversarial"]().item()
    fake = composite(batch.image, batch.mask, networks["generator"].output.detach())
    logits = networks["discriminators"](fake, torch.full((4,), 1), torch.full((4,), 3)).detach()
    assert value == pytest.approx(-float(torch.sigmoid(logits).log().mean()), rel=1e-5)


def test_discrimination_is_both_halves_unscaled(scene):
    networks, batch = scene
    value = _losses(*scene)["discrimination"]().item()
    fake = composite(batch.image, batch.mask, networks["generator"].output.detach())
    judge = networks["discriminators"]
    with torch.no_grad():
        of_fake = torch.sigmoid(judge(fake, torch.full((4,), 1), torch.full((4,), 3)))
        of_real = torch.sigmoid(judge(batch.image, torch.full((4,), 14), torch.full((4,), 16)))
    assert value == pytest.approx(float(-of_real.log().mean() - (1 - of_fake).log().mean()), rel=1e-5)


def test_discrimination_gives_the_generator_no_gradient(scene):
    networks, _ = scene
    _losses(*scene)["discrimination"]().backward()
    assert networks["generator"].output.grad is None
    assert networks["discriminators"].bias.grad is not None


def test_the_adversarial_term_moves_the_hole_alone(scene):
    networks, batch = scene
    _losses(*scene)["adversarial"]().backward()
    gradient = networks["generator"].output.grad
    hole = (batch.mask == 1).expand_as(gradient)
    assert gradient[hole].all()
    assert not gradient[~hole].any()
    assert (gradient[hole] < 0).all()  # this judge likes it bright: -log D falls as pixels rise


def test_the_completion_phase_does_not_run_the_discriminators(scene):
    networks, _ = scene
    _losses(*scene)["reconstruction"]().backward()
    assert networks["discriminators"].shown == []


# --- 3.4 Schedule ----------------------------------------------------------------------------------------------------


def test_the_papers_schedule():
    first, second, third = schedule()
    assert [(p.name, p.steps) for p in (first, second, third)] == [
        ("completion", 90_000),
        ("discriminators", 10_000),
        ("joint", 400_000),
    ]
    assert [(u.network, dict(u.losses)) for u in first.updates] == [("generator", {"reconstruction": 1.0})]
    assert [(u.network, dict(u.losses)) for u in second.updates] == [("discriminators", {"discrimination": 1.0})]
    assert [(u.network, dict(u.losses)) for u in third.updates] == [
        ("discriminators", {"discrimination": 1.0}),  # the discriminators first
        ("generator", {"reconstruction": 1.0, "adversarial": 0.0004}),
    ]
    assert all(phase.batches_per_step == 1 for phase in (first, second, third))


def test_alpha_multiplies_the_adversarial_term_alone():
    usual, other = schedule(), schedule(alpha=0.5)
    weights = [{(p.name, u.network): dict(u.losses) for p in phases for u in p.updates} for phases in (usual, other)]
    assert weights[1].pop(("joint", "generator")) == {"reconstruction": 1.0, "adversarial": 0.5}
    weights[0].pop(("joint", "generator"))
    assert weights[0] == weights[1]


def test_alpha_is_of_weight_beside_the_reconstruction():
    """The spec's ratio for a 112 px hole with squared error 0.01: 0.145, neither vanishing nor ruling."""
    alpha = schedule()[2].updates[1].losses["adversarial"]
    reconstruction = 0.01 * 112**2 / 256**2
    assert alpha * log(2) / reconstruction == pytest.approx(0.145, abs=1e-3)


def test_the_system_names_its_parts_as_the_schedule_does():
    system = SYSTEMS["glcic"]
    assert set(system.parts) == {u.network for p in system.schedule() for u in p.updates}
    assert system.objective is objective

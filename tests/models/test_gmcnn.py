"""GMCNN to the layer: Wang, Tao, Qi, Shen and Jia 2018, its columns, critics, objectives and schedule.

Where a test guards against a fault of the authors' two releases or of another port, its docstring names the fault.
"""

from collections.abc import Callable
from inspect import signature
from math import inf, log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from generator_contract import GeneratorContract, holed, stirred
from torch import Tensor, nn

from inpaintkit.losses.reconstruction import confidence_weight, discounted_weight
from inpaintkit.models import GENERATORS, SYSTEMS, Batch, Completion
from inpaintkit.models.gmcnn import (
    Critics,
    FreeFormCritics,
    Generator,
    SpectralNormCritics,
    fixed_generator,
    hinge_objective,
    hinge_schedule,
    objective,
    schedule,
)
from inpaintkit.tensors import composite, crop_at

# in, out, stride, dilation, resolution out as a divisor of the photo's: the encoder that every column has a copy of
ENCODER = [
    (4, 32, 1, 1, 1),
    (32, 64, 2, 1, 2),
    (64, 64, 1, 1, 2),
    (64, 128, 2, 1, 4),
    (128, 128, 1, 1, 4),
    (128, 128, 1, 1, 4),
    (128, 128, 1, 2, 4),
    (128, 128, 1, 4, 4),
    (128, 128, 1, 8, 4),
    (128, 128, 1, 16, 4),
    (128, 128, 1, 1, 4),
    (128, 128, 1, 1, 4),
]
# what follows it: ("up", factor, mode, divisor) or a convolution as above
TAILS = [
    [("up", 4, "bilinear", 1)],
    [("up", 2, "nearest", 2), (128, 64, 1, 1, 2), (64, 64, 1, 1, 2), ("up", 2, "bilinear", 1)],
    [
        ("up", 2, "nearest", 2),
        (128, 64, 1, 1, 2),
        (64, 64, 1, 1, 2),
        ("up", 2, "nearest", 1),
        (64, 32, 1, 1, 1),
        (32, 32, 1, 1, 1),
    ],
]
PER_COLUMN = [7_132_576, 3_947_040, 1_449_568]
MERGE = 32_707
OBJECTIVES = [objective, hinge_objective]
PAIRS = [Critics, FreeFormCritics, SpectralNormCritics]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _only(value: Any) -> Any:
    """The number that stands for both directions."""
    values = value if isinstance(value, tuple) else (value,)
    assert len(set(values)) == 1
    return values[0]


def _leaves(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if not list(m.children())]


def _seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Toy networks have nothing to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def paper() -> Generator:
    """The generator at full width, without memory."""
    with torch.device("meta"):
        return Generator()


# --- 3.1 Generator: the contract -------------------------------------------------------------------------------------


class TestGMCNN(GeneratorContract):
    name = "gmcnn"
    arguments = {"width": 4}  # noqa: RUF012
    size_multiple = 4


class TestFixedGMCNN(GeneratorContract):
    name = "gmcnn_fixed"
    arguments = {"width": 4}  # noqa: RUF012
    size_multiple = 4


# --- 3.1 Generator: the layer table ----------------------------------------------------------------------------------


def test_parameters_of_the_paper(paper):
    assert GENERATORS["gmcnn"] is Generator
    assert [_count(column) for column in paper.columns] == PER_COLUMN
    assert _count(paper.merge) == MERGE
    assert _count(paper) == sum(PER_COLUMN) + MERGE == 12_561_891


def test_gmcnn_f_is_the_same_class_with_another_table():
    with torch.device("meta"):
        fixed, by_name = fixed_generator(), GENERATORS["gmcnn_fixed"]()
    assert _count(fixed) == _count(by_name) == 11_643_363
    assert type(fixed) is Generator
    kernels = [{_only(m.kernel_size) for m in _leaves(c) if isinstance(m, nn.Conv2d)} for c in fixed.columns]
    assert kernels == [{5}, {5}, {5}]


@pytest.mark.parametrize(("width", "millions"), [(16, 3.14), (24, 7.07), (48, 28.25), (64, 50.22)])
def test_parameters_of_other_widths(width, millions):
    with torch.device("meta"):
        assert round(_count(Generator(width)) / 1e6, 2) == millions


def _rows(module: nn.Module, image: Tensor, run: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """What passes through a module, layer by layer: convolutions and enlargements as in the tables above."""
    rows: list[tuple[Any, ...]] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        assert image.shape[2] % output.shape[2] == image.shape[3] % output.shape[3] == 0
        divisor = _only((image.shape[2] // output.shape[2], image.shape[3] // output.shape[3]))
        if isinstance(layer, nn.Conv2d):
            kernel, stride, dilation = (_only(getattr(layer, n)) for n in ("kernel_size", "stride", "dilation"))
            rows.append((layer.in_channels, layer.out_channels, stride, dilation, divisor, kernel))
        elif isinstance(layer, nn.Upsample):
            assert layer.align_corners is (True if layer.mode == "bilinear" else None)
            rows.append(("up", _only(layer.scale_factor), layer.mode, divisor))
        else:
            rows.append((type(layer),))

    hooks = [layer.register_forward_hook(note) for layer in _leaves(module)]
    run()
    for hook in hooks:
        hook.remove()
    return rows


def _expected(table: list[tuple[Any, ...]], kernel: int, scale: float) -> list[tuple[Any, ...]]:
    """A table's rows at another width, each convolution followed by its ELU."""
    rows: list[tuple[Any, ...]] = []
    for row in table:
        if row[0] == "up":
            rows.append(row)
        else:
            inside, outside = (c if c == 4 else int(c * scale) for c in row[:2])
            rows += [(inside, outside, *row[2:], kernel), (nn.ELU,)]
    return rows


@pytest.mark.parametrize("kernels", [(7, 5, 3), (5, 5, 5)], ids=["varied", "fixed"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_layer_table_of_a_column(kernels, column):
    """A Keras port lacks an ELU in the first column; the TensorFlow release swaps kernels, and ends the third on 16."""
    network = Generator(8, kernels)
    image, mask = holed(1, 64, 48)
    with torch.no_grad():
        rows = _rows(network.columns[column], image, lambda: network(image, mask))
    assert rows == _expected(ENCODER + TAILS[column], kernels[column], 8 / 32)


def test_the_columns_are_joined_by_two_convolutions_the_last_of_them_bare():
    network = Generator(8)
    image, mask = holed(1, 64, 48)
    with torch.no_grad():
        rows = _rows(network.merge, image, lambda: network(image, mask))
    assert rows == [((128 + 64 + 32) // 4, 4, 1, 1, 1, 3), (nn.ELU,), (4, 3, 1, 1, 1, 3)]


def test_convolutions_have_biases_and_zeros_around_and_nothing_normalises(paper):
    convolutions = [m for m in _leaves(paper) if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3 * 12 + 0 + 2 + 4 + 2
    for layer in convolutions:
        assert layer.bias is not None
        assert layer.padding_mode == "zeros"
        assert _only(layer.padding) == _only(layer.dilation) * (_only(layer.kernel_size) // 2)
    assert {type(m) for m in _leaves(paper)} == {nn.Conv2d, nn.ELU, nn.Upsample}
    assert all(m.alpha == 1 for m in _leaves(paper) if isinstance(m, nn.ELU))


@pytest.mark.parametrize(("column", "pixels"), [(0, 853), (1, 569), (2, 285)])
def test_the_centre_of_a_128_px_hole_sees_context_in_every_column(paper, column, pixels):
    seen = jump = 1
    for layer in [m for m in _leaves(paper.columns[column]) if isinstance(m, nn.Conv2d)][:12]:
        seen += _only(layer.dilation) * (_only(layer.kernel_size) - 1) * jump
        jump *= _only(layer.stride)
    assert seen == pixels > 256


def test_the_photo_enters_in_the_papers_range_with_a_grey_hole_and_the_mask_behind_it():
    """A Keras port does not feed the mask; the TensorFlow release adds a plane of ones."""
    network = Generator(4)
    entered: list[Tensor] = []
    for column in network.columns:
        first = next(m for m in _leaves(column) if isinstance(m, nn.Conv2d))
        first.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0]))
    image, mask = holed(2, 32, 40)
    network(image, mask)
    hole = (mask == 1).expand_as(image)
    assert len(entered) == 3
    for given in entered:
        assert given.shape == (2, 4, 32, 40)
        assert torch.equal(given[:, 3:], mask)
        assert not given[:, :3][hole].any()
        torch.testing.assert_close(given[:, :3][~hole], (image * 2 - 1)[~hole], rtol=0, atol=1e-6)


def test_the_output_is_clamped_to_the_papers_range_and_what_overshoots_gets_no_gradient():
    network = stirred(Generator(4))
    last = network.merge[-1]
    with torch.no_grad():
        last.weight.mul_(3)
    raw: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        raw.append(output)

    last.register_forward_hook(keep)
    completed = network(*holed(2, 32, 48)).image
    torch.testing.assert_close(completed, (raw[0].clamp(-1, 1) + 1) / 2, rtol=0, atol=1e-6)
    outside = raw[0].abs() > 1
    assert 0 < outside.float().mean() < 1
    assert set(completed[outside].unique().tolist()) == {0.0, 1.0}
    completed.sum().backward()
    assert not raw[0].grad[outside].any()
    assert raw[0].grad[~outside].all()


@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (64, 64), (128, 128), (256, 256), (320, 320), (32, 96), (72, 44)]
)
def test_sizes_from_32_px_up_oblong_ones_too(height, width):
    """The PyTorch release reflects 48 px on maps of a quarter of the size and crashes below 196 px."""
    network = stirred(Generator(4)).eval()
    image, mask = holed(1, height, width)
    with torch.inference_mode():
        completed = network(image, mask).image
        result = composite(image, mask, completed)
    assert completed.shape == image.shape
    assert 0 <= completed.min() < completed.max() <= 1
    known = (mask == 0).expand_as(image)
    assert torch.equal(result[known], image[known])


@pytest.mark.parametrize("kernels", [(7, 5, 4), (6, 5, 3), (2, 2, 2)])
def test_only_odd_kernels_have_a_middle(kernels):
    with pytest.raises(ValueError, match="odd") as error:
        Generator(4, kernels)
    assert str(kernels) in str(error.value)
    assert "\n" not in str(error.value)


def test_any_odd_kernels_make_a_generator():
    network = Generator(2, (3, 9, 11)).eval()
    image, mask = holed(1, 32, 32)
    with torch.inference_mode():
        assert network(image, mask).image.shape == image.shape


def test_weights_start_glorot_uniform_and_biases_at_0():
    """The PyTorch release's N(0, 0.02) starts the third column nearly silent."""
    torch.manual_seed(0)
    for layer in [m for m in _leaves(Generator(16)) if isinstance(m, nn.Conv2d)]:
        area = _only(layer.kernel_size) ** 2
        bound = (6 / (area * (layer.in_channels + layer.out_channels))) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        if layer.weight.numel() > 1000:
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert not layer.bias.any()


# --- 3.4 Critics -----------------------------------------------------------------------------------------------------

WASSERSTEIN = [64, 128, 256, 512, 256, 128]
COUNTS = {
    Critics: (8_404_993, 8_403_457),
    FreeFormCritics: (8_404_993, 4_319_361),
    SpectralNormCritics: (2_733_441, 2_684_289),
}
CONVOLUTIONS = {
    Critics: (WASSERSTEIN, WASSERSTEIN),
    FreeFormCritics: (WASSERSTEIN, [64, 128, 256, 512, 1]),
    SpectralNormCritics: ([64, 128, 256, 256], [64, 128, 256, 256]),
}
HEADS = {Critics: ([2048], [512]), FreeFormCritics: ([2048], []), SpectralNormCritics: ([65_536], [16_384])}


def _parts(pair: nn.Module) -> tuple[nn.Module, nn.Module]:
    return pair.whole, pair.local


def _corners(*pairs: tuple[int, int]) -> tuple[Tensor, Tensor]:
    top, left = zip(*pairs, strict=True)
    return torch.tensor(top), torch.tensor(left)


@pytest.mark.parametrize("pair", PAIRS)
def test_parameters_of_the_critics(pair):
    with torch.device("meta"):
        assert tuple(_count(part) for part in _parts(pair())) == COUNTS[pair]
        assert _count(pair()) == sum(COUNTS[pair])


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("side", [0, 1], ids=["global", "local"])
def test_the_critics_layer_tables(pair, side):
    with torch.device("meta"):
        part = _parts(pair())[side]
    convolutions = [m for m in part.modules() if isinstance(m, nn.Conv2d)]
    out = CONVOLUTIONS[pair][side]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == list(zip([3, *out], out, strict=False))
    for layer in convolutions:
        numbers = [_only(getattr(layer, name)) for name in ("kernel_size", "stride", "dilation", "padding")]
        assert numbers == [5, 2, 1, 2]
    dense = [m for m in part.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in dense] == [(n, 1) for n in HEADS[pair][side]]
    assert all(layer.bias is not None for layer in (*convolutions, *dense))


@pytest.mark.parametrize("pair", PAIRS)
def test_the_critics_do_not_normalise_activations(pair):
    critics = pair(4)
    normalising = nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.LocalResponseNorm
    assert not any(isinstance(m, normalising) for m in critics.modules())
    activation = nn.ELU if pair is SpectralNormCritics else nn.LeakyReLU
    used = {type(m) for m in critics.modules() if isinstance(m, nn.ELU | nn.LeakyReLU | nn.ReLU)}
    assert used == {activation}


def _plainly(
    pair: type[nn.Module], part: nn.Module, image: Tensor, fit: Callable[[Tensor], Tensor] = lambda maps: maps
) -> Tensor:
    """A critic as released: convolutions, flatten, fully connected. `fit`: what another size of photo needs between."""
    layers = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers[:-1]:
        image = F.conv2d(image, layer.weight, layer.bias, stride=2, padding=2)
        image = F.elu(image) if pair is SpectralNormCritics else F.leaky_relu(image, 0.2)
    return F.linear(fit(image).flatten(1), layers[-1].weight, layers[-1].bias)


@pytest.mark.parametrize("pair", [Critics, SpectralNormCritics])
def test_at_their_own_size_critics_flatten_and_connect_as_released(pair):
    critics = stirred(pair(4)).eval()
    image, mask = holed(2, 256, 256)
    corner = _corners((3, 90), (128, 0))
    with torch.no_grad():
        scores = critics(image * 2 - 1, mask, *corner)
        whole = _plainly(pair, critics.whole, image * 2 - 1)
        local = _plainly(pair, critics.local, crop_at(image * 2 - 1, *corner, 128))
    torch.testing.assert_close(scores, torch.cat([whole, local], 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "fit"), [(512, lambda m: F.avg_pool2d(m, 2)), (128, lambda m: F.interpolate(m, scale_factor=2))]
)
def test_at_another_size_the_last_map_is_averaged_down_or_repeated_up(size, fit):
    critics = stirred(Critics(4)).eval()
    image, mask = holed(1, size, size)
    corner = _corners((3, 5))
    with torch.no_grad():
        scores = critics(image, mask, *corner)
        whole = _plainly(Critics, critics.whole, image, fit)
        local = _plainly(Critics, critics.local, crop_at(image, *corner, size // 2), fit)
    torch.testing.assert_close(scores, torch.cat([whole, local], 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_same_critics_judge_photos_of_other_sizes(pair):
    """The releases' fully connected layers tie a critic to one size of photo and hole."""
    critics = stirred(pair(4)).eval()
    for height, width in [(64, 64), (128, 128), (256, 256), (320, 320), (48, 96)]:
        image, mask = holed(2, height, width)
        critics.zero_grad()
        scores = critics(image * 2 - 1, mask, *_corners((0, 1), (3, 2)))
        assert scores.shape == (2, 2)
        assert scores.isfinite().all()
        (scores * torch.tensor([[1.0, -2.0], [0.5, 3.0]])).sum().backward()
        assert [n for n, p in critics.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("pair", [Critics, SpectralNormCritics])
def test_the_local_critic_sees_the_crop_alone_and_the_global_one_everything(pair):
    """The PyTorch release's local critic for strokes is a second global critic of the same photo."""
    critics = stirred(pair(4)).eval()
    image, mask = holed(3, 64, 64)
    corner = _corners((3, 32), (30, 0), (17, 9))
    inside = torch.zeros(3, 1, 64, 64)
    for i, (top, left) in enumerate(zip(*corner, strict=True)):
        inside[i, :, top : top + 32, left : left + 32] = 1
    with torch.no_grad():
        before, without, within = (
            critics(seen * 2 - 1, mask, *corner)
            for seen in (image, torch.where(inside > 0, image, 1 - image), torch.where(inside > 0, 1 - image, image))
        )
    assert torch.equal(before[:, 1], without[:, 1])
    assert (before[:, 1] != within[:, 1]).all()
    assert (before[:, 0] != without[:, 0]).all()
    assert (before[:, 0] != within[:, 0]).all()
    with torch.no_grad():
        assert torch.equal(critics(image * 2 - 1, 1 - mask, *corner), before)  # no mask channel


def test_the_free_form_critic_averages_the_patches_that_the_hole_touches():
    """The PyTorch release's local critic for strokes is a second global critic of the same photo."""
    critics = stirred(FreeFormCritics(4)).eval()
    image = _seeded((3, 3, 256, 256), 0) * 2 - 1
    mask = torch.zeros(3, 1, 256, 256)
    mask[0, :, 40:50, 10:100] = 1  # patches of 32 px: row 1, columns 0 to 3
    mask[1, :, 255, 255] = 1  # a pixel: the last patch
    mask[2] = 1
    corner = _corners((0, 0), (0, 0), (0, 0))
    with torch.no_grad():
        scores = critics(image, mask, *corner)
        assert torch.equal(critics(image, mask, *_corners((9, 7), (3, 4), (100, 1))), scores)  # crops are not its way
        maps = image
        layers = [m for m in critics.local.modules() if isinstance(m, nn.Conv2d)]
        for layer in layers[:-1]:
            maps = F.leaky_relu(layer(maps), 0.2)
        maps = layers[-1](maps)
    assert maps.shape == (3, 1, 8, 8)
    by_hand = torch.stack([maps[0, 0, 1, :4].mean(), maps[1, 0, 7, 7], maps[2].mean()])
    torch.testing.assert_close(scores[:, 1], by_hand, rtol=1e-4, atol=1e-6)


def test_the_free_form_critic_does_not_hear_patches_outside_the_hole():
    critics = stirred(FreeFormCritics(4)).eval()
    image = _seeded((1, 3, 256, 256), 0) * 2 - 1
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., :32, :32] = 1  # a single patch; its convolutions see 125 px
    far, near = image.clone(), image.clone()
    far[..., 100:, 100:] *= -1
    near[..., :20, :20] *= -1
    with torch.no_grad():
        before, after_far, after_near = (critics(seen, mask, *_corners((0, 0))) for seen in (image, far, near))
    assert after_far[0, 1] == before[0, 1]
    assert after_near[0, 1] != before[0, 1]
    assert after_far[0, 0] != before[0, 0]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("missing", [0.0, 1.0], ids=["nothing missing", "all missing"])
def test_critics_stay_finite_without_a_hole_and_without_a_photo(pair, missing):
    """The releases divide by the mask's mean, which an empty stroke makes 0."""
    critics = pair(4)
    image = _seeded((2, 3, 64, 64), 0).requires_grad_()
    scores = critics(image, torch.full((2, 1, 64, 64), missing), *_corners((0, 0), (5, 5)))
    scores.sum().backward()
    assert scores.isfinite().all()
    assert image.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in critics.parameters() if p.grad is not None)


@pytest.mark.parametrize("pair", PAIRS)
def test_critics_judge_every_sample_by_itself(pair):
    """Otherwise a gradient penalty is not a sample's own."""
    critics = stirred(pair(4)).eval()
    image, mask = holed(3, 64, 64)
    top, left = _corners((3, 32), (30, 0), (17, 9))
    with torch.no_grad():
        together = critics(image, mask, top, left)
        alone = [critics(image[i : i + 1], mask[i : i + 1], top[i : i + 1], left[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_every_layer_of_the_hinge_critics_has_spectral_norm_1():
    """In the PyTorch release too; there the initialiser misses these layers, for their weights bear another name."""
    critics = SpectralNormCritics(4).train()
    with torch.no_grad():
        for parameter in critics.parameters():
            parameter.mul_(7)
        for _ in range(40):  # every pass is a step of the power iteration
            critics(*holed(1, 32, 32), *_corners((0, 0)))
    layers = [m for m in critics.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 2 * 5
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.03)


def test_the_power_iteration_rests_where_the_critics_are_not_trained():
    critics = SpectralNormCritics(4).eval()
    before = {name: tensor.clone() for name, tensor in critics.state_dict().items()}
    critics(*holed(1, 32, 32), *_corners((0, 0)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in critics.state_dict().items())


# --- 3.2 to 3.4 Objective: a scene whose every number can be worked out ----------------------------------------------

SIZE = 32


class _Paints(nn.Module):
    """A generator whose raw output is one parameter, so that every gradient can be read off."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output.clone())
        self.calls = 0

    def forward(self, image: Tensor, mask: Tensor) -> Completion:
        self.calls += 1
        return Completion(self.output * 1)


class _Judges(nn.Module):
    """Two linear critics, of the whole image and of a crop half its side, that keep what they are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter((_seeded((3, SIZE, SIZE), 5) - 0.4) * 0.1)
        self.local = nn.Parameter((_seeded((3, SIZE // 2, SIZE // 2), 6) - 0.4) * 0.3)
        self.shown: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, image: Tensor, mask: Tensor, top: Tensor, left: Tensor) -> Tensor:
        self.shown.append((image.detach().clone(), mask, top, left))
        crop = crop_at(image, top, left, SIZE // 2)
        return torch.stack([(image * self.whole).sum((1, 2, 3)), (crop * self.local).sum((1, 2, 3))], 1)


class _Features(nn.Module):
    """Patches of 4 and 8 px seen through fixed filters, in the place of VGG19; keeps what it is shown, and how.

    Its weights would take a gradient if they were given one.
    """

    def __init__(self) -> None:
        super().__init__()
        filters = {"relu3_2": (12, 4), "relu4_2": (20, 8), "relu3_1": (12, 4), "relu4_1": (20, 8)}
        self.filters = nn.ParameterDict(
            {tap: _seeded((n, 3, side, side), i) - 0.5 for i, (tap, (n, side)) in enumerate(filters.items())}
        )
        self.shown: list[tuple[Tensor, bool]] = []

    def forward(self, image: Tensor, taps: tuple[str, ...] = ("relu3_2", "relu4_2")) -> dict[str, Tensor]:
        self.shown.append((image.detach().clone(), torch.is_grad_enabled() and image.requires_grad))
        found = {}
        for tap in taps:
            filters = self.filters[tap]
            found[tap] = F.relu(F.conv2d(image - 0.5, filters, stride=filters.shape[2]))
        return found


Scene = tuple[dict[str, nn.Module], Batch]


def _rectangles(*sides: tuple[int, int, int, int]) -> Tensor:
    """Masks (N, 1, SIZE, SIZE) with a hole each: top, left, height, width."""
    mask = torch.zeros(len(sides), 1, SIZE, SIZE)
    for i, (top, left, height, width) in enumerate(sides):
        mask[i, :, top : top + height, left : left + width] = 1
    return mask


# holes that fit the crop of 16 px, and lie on the grid of 8 px so that feature positions are whole
HOLES = ((8, 8, 16, 8), (0, 16, 8, 16), (16, 0, 8, 8))
CORNERS = [(8, 4), (0, 16), (12, 0)]  # the crop centred on each, clamped into the photo


def _scene(mask: Tensor | None = None) -> Scene:
    mask = _rectangles(*HOLES) if mask is None else mask
    n = len(mask)
    networks = {
        "generator": _Paints(_seeded((n, 3, SIZE, SIZE), 8) * 0.8 + 0.1),
        "critics": _Judges(),
        "features": _Features(),
    }
    return networks, Batch(_seeded((n, 3, SIZE, SIZE), 3), mask, mask.flip(2))


@pytest.fixture
def scene() -> Scene:
    """A batch of three photos with a hole each, and networks that keep what they are shown."""
    return _scene()


def _losses(scene: Scene, of: Callable[..., Any] = objective, seed: int = 0, **numbers: Any) -> Any:
    return of(*scene, torch.Generator().manual_seed(seed), **numbers)


def _raw(scene: Scene) -> Tensor:
    return scene[0]["generator"].output.detach()


def _completed(scene: Scene) -> Tensor:
    """What the critics and the features are to see of the generator, in [0, 1]."""
    return composite(scene[1].image, scene[1].mask, _raw(scene))


# --- 3.3 Confidence-driven reconstruction ----------------------------------------------------------------------------


def _weighted_by_hand(scene: Scene, weight: Tensor) -> float:
    """Absolute error in [-1, 1], twice that in [0, 1], over the hole's three channels; then the mean of the samples."""
    image, mask = scene[1].image, scene[1].mask
    difference = 2 * (_raw(scene) - image).abs()
    samples = [float((difference[i] * weight[i] * mask[i]).sum() / (3 * mask[i].sum())) for i in range(len(image))]
    return sum(samples) / len(samples)


WEIGHTS = [
    (objective, "confidence_l1", {}, lambda m: confidence_weight(m, kernel_size=64, sigma=40.0, iterations=7)),
    (
        objective,
        "confidence_l1",
        {"kernel_size": 12, "sigma": inf, "iterations": 3},
        lambda m: confidence_weight(m, kernel_size=12, sigma=inf, iterations=3),
    ),
    (objective, "confidence_l1", {"kernel_size": "auto"}, lambda m: confidence_weight(m, kernel_size="auto")),
    (objective, "discounted_l1", {}, lambda m: discounted_weight(m, gamma=0.99)),
    (objective, "discounted_l1", {"gamma": 0.5}, lambda m: discounted_weight(m, gamma=0.5)),
    (objective, "plain_l1", {}, torch.ones_like),
    (
        hinge_objective,
        "confidence_l1",
        {},
        lambda m: confidence_weight(m, kernel_size=65, sigma=inf, iterations=7, padding="reflect"),
    ),
    (hinge_objective, "discounted_l1", {}, lambda m: discounted_weight(m, gamma=0.9)),
    (hinge_objective, "plain_l1", {}, torch.ones_like),
]


@pytest.mark.parametrize(("of", "name", "numbers", "weight"), WEIGHTS)
def test_reconstruction_is_l1_between_minus_1_and_1_over_each_samples_hole(scene, of, name, numbers, weight):
    by_hand = _weighted_by_hand(scene, weight(scene[1].mask))
    assert _losses(scene, of, **numbers)[name]().item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("of", OBJECTIVES)
def test_the_known_region_is_averaged_over_itself(scene, of):
    image, mask = scene[1].image, scene[1].mask
    by_hand = _weighted_by_hand((scene[0], Batch(image, 1 - mask, mask)), torch.ones_like(mask))
    assert _losses(scene, of)["known_l1"]().item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("of", OBJECTIVES)
def test_reconstruction_moves_the_holes_pixels_and_the_known_term_the_others(scene, of):
    hole = (scene[1].mask == 1).expand_as(_raw(scene))
    generator = scene[0]["generator"]
    losses = _losses(scene, of)
    for name in ("confidence_l1", "discounted_l1", "plain_l1"):
        generator.zero_grad()
        losses[name]().backward(retain_graph=True)
        assert generator.output.grad[hole].all(), name
        assert not generator.output.grad[~hole].any(), name
    generator.zero_grad()
    losses["known_l1"]().backward()
    assert generator.output.grad[~hole].all()
    assert not generator.output.grad[hole].any()


@pytest.mark.parametrize("of", OBJECTIVES)
def test_every_sample_has_its_own_hole_and_the_batch_is_the_mean_of_its_samples(scene, of):
    """Both releases draw one mask a batch, and the PyTorch release sums ID-MRF over it instead of averaging."""
    networks, batch = scene
    names = ["confidence_l1", "discounted_l1", "plain_l1", "known_l1", "id_mrf", "nearest_neighbour", "adversarial"]
    names += ["wasserstein"] if of is objective else ["hinge"]
    together = {name: _losses(scene, of)[name]().item() for name in names}
    alone = dict.fromkeys(names, 0.0)
    for i in range(3):
        one = {**networks, "generator": _Paints(_raw(scene)[i : i + 1])}
        losses = _losses((one, Batch(*(tensor[i : i + 1] for tensor in batch))), of)
        for name in names:
            alone[name] += losses[name]().item() / 3
    assert together == pytest.approx(alone, rel=1e-4)


# --- 3.2 ID-MRF ------------------------------------------------------------------------------------------------------


def _matching_by_hand(generated: Tensor, target: Tensor, chosen: Tensor) -> float:
    """ID-MRF of one sample's maps (C, H, W); `chosen` (H, W): the generated positions. Float64, with loops."""
    chosen = chosen.flatten()
    target, generated = target.double().flatten(1), generated.double().flatten(1)
    mean = target.mean(1, keepdim=True)
    target, generated = ((t - mean) / (t - mean).norm(dim=0).clamp_min(1e-8) for t in (target, generated))
    best = torch.zeros(target.shape[1], dtype=torch.float64)
    for i in chosen.nonzero().flatten().tolist():
        distance = ((1 - target.T @ generated[:, i]) / 2).clamp_min(0)
        similarity = torch.exp((1 - distance / (distance.min() + 1e-5)) / 0.5)
        best = torch.maximum(best, similarity / similarity.sum())
    return -log(float(best.sum()) / int(chosen.sum()))


def _layer_by_hand(scene: Scene, tap: str, *, hole_only: bool) -> float:
    """The mean over the batch; holes lie on the grid of the maps."""
    with torch.no_grad():
        generated, target = (_Features()(image, (tap,))[tap] for image in (_completed(scene), scene[1].image))
    inside = F.avg_pool2d(scene[1].mask, SIZE // target.shape[2])[:, 0] > 0.5
    chosen = inside if hole_only else torch.ones_like(inside)
    values = [_matching_by_hand(g, t, c) for g, t, c in zip(generated, target, chosen, strict=True)]
    return sum(values) / len(values)


@pytest.mark.parametrize(("of", "hole_only"), [(objective, True), (hinge_objective, False)])
def test_id_mrf_is_relu3_2_once_and_relu4_2_twice(scene, of, hole_only):
    """Article: the composite's hole in the whole photo. Release: whole images (and it takes relu3_1 for relu3_2)."""
    third, fourth = (_layer_by_hand(scene, tap, hole_only=hole_only) for tap in ("relu3_2", "relu4_2"))
    assert min(third, fourth) > 0.05
    assert _losses(scene, of)["id_mrf"]().item() == pytest.approx(third + 2 * fourth, rel=1e-3)


@pytest.mark.parametrize(("of", "hole_only"), [(objective, True), (hinge_objective, False)])
def test_each_layers_matching_is_watched_as_a_share_of_its_largest_value(of, hole_only):
    holes = _rectangles((8, 8, 16, 8), (0, 16, 8, 16), (16, 0, 16, 8))  # of one area, so of one largest value
    scene = _scene(holes)
    losses = _losses(scene, of)
    for tap, side in (("relu3_2", 4), ("relu4_2", 8)):
        positions = (128 if hole_only else SIZE**2) / side**2
        value = losses[f"id_mrf_{tap}"]().item()
        assert 0 < value < 1
        assert value == pytest.approx(_layer_by_hand(scene, tap, hole_only=hole_only) / log(positions), rel=1e-3)


def test_a_photo_found_again_in_the_hole_matches_itself(scene):
    with torch.no_grad():
        scene[0]["generator"].output.copy_(scene[1].image)
    losses = _losses(scene)
    assert losses["id_mrf"]().item() == pytest.approx(0, abs=1e-3)
    assert losses["confidence_l1"]().item() == 0


def test_the_target_of_the_matching_is_the_whole_photo(scene):
    """The TensorFlow release crops both to the hole's box, where the truth has no context."""
    known = (scene[1].mask == 0).float()
    before = _losses(scene)["id_mrf"]().item()
    networks, batch = scene
    shifted = (batch.image + 0.3 * _seeded(batch.image.shape, 9) * known).clamp(0, 1)
    after = _losses((networks, batch._replace(image=shifted)))["id_mrf"]().item()
    assert abs(after - before) > 1e-2


@pytest.mark.parametrize("of", OBJECTIVES)
def test_features_see_rgb_between_0_and_1_of_the_composite_and_of_the_photo(scene, of):
    """The PyTorch release does not divide by the deviation, the TensorFlow release hands BGR to a network for RGB."""
    _losses(scene, of)["id_mrf"]()
    shown = [image for image, _ in scene[0]["features"].shown]
    assert len(shown) == 2
    fakes = [image for image in shown if not torch.allclose(image, scene[1].image, rtol=0, atol=1e-6)]
    assert len(fakes) == 1
    torch.testing.assert_close(fakes[0], _completed(scene), rtol=0, atol=1e-6)


@pytest.mark.parametrize("of", OBJECTIVES)
@pytest.mark.parametrize("name", ["id_mrf", "nearest_neighbour"])
def test_targets_have_no_graph_and_features_learn_nothing(scene, of, name):
    """The PyTorch release builds the target's graph, and leaves the feature network unfrozen."""
    networks, batch = scene
    networks["features"].requires_grad_(False)
    _losses(scene, of)[name]().backward()
    with_graph = {torch.allclose(image, batch.image, atol=1e-6): graph for image, graph in networks["features"].shown}
    assert with_graph == {True: False, False: True}
    gradient = networks["generator"].output.grad
    hole = (batch.mask == 1).expand_as(gradient)
    assert gradient.isfinite().all()
    assert gradient[hole].any()
    assert not gradient[~hole].any()  # the photo's own pixels are not the generator's doing
    assert all(p.grad is None for p in networks["features"].parameters())


@pytest.mark.parametrize("of", OBJECTIVES)
def test_no_feature_pass_is_made_twice(scene, of):
    networks, _ = scene
    losses = _losses(scene, of)
    for name in ("confidence_l1", "id_mrf", "adversarial", "nearest_neighbour"):
        losses[name]()
    with torch.no_grad():
        for name in ("id_mrf_relu3_2", "id_mrf_relu4_2", "clipped"):
            losses[name]()
    assert len(networks["features"].shown) == 2  # one target, one composite
    assert networks["generator"].calls == 1


def test_feature_positions_above_the_cap_are_sampled_by_the_steps_own_numbers(scene):
    capped, again, other = (_losses(scene, max_positions=20, seed=s)["id_mrf"]().item() for s in (0, 0, 1))
    assert capped == again
    assert capped != other
    assert capped > 0
    whole = _losses(scene)["id_mrf"]().item()
    assert _losses(scene, max_positions=64, seed=1)["id_mrf"]().item() == pytest.approx(whole, rel=1e-6)


def test_the_nearest_neighbour_variant_is_another_loss_on_the_same_maps(scene):
    losses = _losses(scene)
    assert losses["nearest_neighbour"]().item() > 0
    assert losses["nearest_neighbour"]().item() != pytest.approx(losses["id_mrf"]().item(), rel=1e-2)


# --- 3.4 The critics' objective --------------------------------------------------------------------------------------


def _scores(scene: Scene, image: Tensor, corners: list[tuple[int, int]] = CORNERS) -> Tensor:
    """Both critics' scores (N, 2) of images in [0, 1] by hand."""
    judges = scene[0]["critics"]
    whole, local = judges.whole.detach(), judges.local.detach()
    rows = []
    for photo, (top, left) in zip(image * 2 - 1, corners, strict=True):
        crop = photo[:, top : top + SIZE // 2, left : left + SIZE // 2]
        rows.append(torch.stack([(photo * whole).sum(), (crop * local).sum()]))
    return torch.stack(rows)


def test_the_critics_learn_the_distance_summed_over_both(scene):
    by_hand = (_scores(scene, _completed(scene)) - _scores(scene, scene[1].image)).mean(0).sum()
    assert _losses(scene)["wasserstein"]().item() == pytest.approx(by_hand.item(), rel=1e-4, abs=1e-5)


def test_the_hinge_is_summed_over_both_critics(scene):
    real, fake = _scores(scene, scene[1].image), _scores(scene, _completed(scene))
    by_hand = (F.relu(1 - real) + F.relu(1 + fake)).mean(0).sum()
    assert _losses(scene, hinge_objective)["hinge"]().item() == pytest.approx(by_hand.item(), rel=1e-4)


@pytest.mark.parametrize("of", OBJECTIVES)
def test_the_generators_term_is_minus_both_scores_of_the_composite(scene, of):
    """A Keras port trains the generator against its raw output while the critics see composites."""
    by_hand = -_scores(scene, _completed(scene)).mean(0).sum()
    assert _losses(scene, of)["adversarial"]().item() == pytest.approx(by_hand.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("of", "name"), [(objective, "wasserstein"), (hinge_objective, "hinge")])
def test_real_and_completed_photos_are_judged_at_the_same_place_of_their_own(scene, of, name):
    """Both releases crop one box for all of a batch."""
    networks, batch = scene
    losses = _losses(scene, of)
    losses[name]()
    if of is objective:
        losses["gradient_penalty"]()
    losses["adversarial"]()
    shown = networks["critics"].shown
    assert len(shown) == (4 if of is objective else 3)
    for image, mask, top, left in shown:
        assert list(zip(top.tolist(), left.tolist(), strict=True)) == CORNERS
        assert torch.equal(mask, batch.mask)
        known = (batch.mask == 0).expand_as(image)
        torch.testing.assert_close(image[known], (batch.image * 2 - 1)[known], rtol=0, atol=1e-6)
    real = [image for image, *_ in shown if torch.allclose(image, batch.image * 2 - 1, rtol=0, atol=1e-6)]
    fake = [image for image, *_ in shown if torch.allclose(image, _completed(scene) * 2 - 1, rtol=0, atol=1e-6)]
    assert (len(real), len(fake)) == (1, 2)


def test_wide_holes_are_judged_at_one_place_drawn_anew_every_step():
    scene = _scene(_rectangles((1, 1, 30, 30), (0, 2, 32, 28), (4, 0, 28, 31)))
    corners = []
    for seed in range(3):
        losses = _losses(scene, seed=seed)
        for name in ("wasserstein", "gradient_penalty", "adversarial"):
            losses[name]()
        places = {(tuple(top.tolist()), tuple(left.tolist())) for _, _, top, left in scene[0]["critics"].shown}
        assert len(places) == 1
        corners.append(places.pop())
        scene[0]["critics"].shown.clear()
    assert len(set(corners)) == 3


def _penalty_by_hand(scene: Scene, weight: Tensor) -> float:
    """(|slope x weight| - 1)^2 of two linear critics, summed; their slopes are the same wherever they are taken."""
    judges = scene[0]["critics"]
    total = 0.0
    for i, (top, left) in enumerate(CORNERS):
        local = torch.zeros(3, SIZE, SIZE)
        local[:, top : top + SIZE // 2, left : left + SIZE // 2] = judges.local.detach()
        for slope in (judges.whole.detach(), local):
            total += (float((slope * weight[i]).square().sum()) ** 0.5 - 1) ** 2 / len(CORNERS)
    return total


def test_the_penalty_is_on_the_slope_in_the_hole_and_the_confident_one_another(scene):
    """A Keras port penalises the slope everywhere; the PyTorch release never calls its penalty at all."""
    mask = scene[1].mask
    losses = _losses(scene)
    masked, confident = losses["gradient_penalty"]().item(), losses["confident_penalty"]().item()
    assert masked == pytest.approx(_penalty_by_hand(scene, mask), rel=1e-4)
    assert confident == pytest.approx(_penalty_by_hand(scene, confidence_weight(mask)), rel=1e-4)
    assert masked != pytest.approx(confident, rel=1e-2)
    assert masked != pytest.approx(_penalty_by_hand(scene, torch.ones_like(mask)), rel=1e-2)


def test_the_slope_is_taken_between_real_and_completed_at_a_place_of_each_samples_own(scene):
    """A Keras port draws one place for the whole batch."""
    networks, batch = scene
    _losses(scene)["gradient_penalty"]()
    ((between, *_),) = networks["critics"].shown
    real, fake = batch.image * 2 - 1, _completed(scene) * 2 - 1
    places = []
    for i in range(3):
        hole = (batch.mask[i] == 1).expand(3, -1, -1) & ((fake[i] - real[i]).abs() > 0.2)
        shares = ((between[i] - real[i]) / (fake[i] - real[i]))[hole]
        assert shares.max() - shares.min() < 1e-4
        places.append(shares.mean().item())
    assert 0 <= min(places) < max(places) <= 1
    assert min(abs(a - b) for a, b in zip(places, [*places[1:], places[0]], strict=True)) > 1e-3


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (objective, "wasserstein"),
        (objective, "gradient_penalty"),
        (objective, "confident_penalty"),
        (hinge_objective, "hinge"),
    ],
)
def test_what_teaches_the_critics_gives_the_generator_no_gradient(scene, of, name):
    networks, _ = scene
    _losses(scene, of)[name]().backward()
    assert networks["generator"].output.grad is None
    assert networks["critics"].whole.grad.any()
    assert networks["critics"].local.grad.any()


@pytest.mark.parametrize("of", OBJECTIVES)
def test_the_critics_move_the_hole_alone(scene, of):
    networks, batch = scene
    _losses(scene, of)["adversarial"]().backward()
    gradient = networks["generator"].output.grad
    hole = (batch.mask == 1).expand_as(gradient)
    assert gradient[hole].all()
    assert not gradient[~hole].any()


# --- what both objectives have in common -----------------------------------------------------------------------------


@pytest.mark.parametrize("of", OBJECTIVES)
def test_only_what_is_asked_for_is_computed(scene, of):
    networks, _ = scene
    losses = _losses(scene, of)
    assert networks["generator"].calls == 0
    losses["confidence_l1"]()
    assert networks["generator"].calls == 1
    assert networks["critics"].shown == networks["features"].shown == []
    losses["adversarial"]()
    assert networks["features"].shown == []
    assert len(networks["critics"].shown) == 1
    assert networks["generator"].calls == 1


@pytest.mark.parametrize("of", OBJECTIVES)
def test_the_clipped_share_of_the_hole_is_watched(scene, of):
    """Where the clamp passes no gradient a pixel is stuck."""
    networks, _ = scene
    with torch.no_grad():
        networks["generator"].output[:, 0] = 1.0
        networks["generator"].output[:, 1, :, 8:16] = 0.0
        networks["generator"].output[:, 1, :, 0:8] = 0.5
    # the first hole lies in columns 8 to 15: 2 of 3 values; the others 1 of 3; areas 128, 128 and 64
    share = _losses(scene, of)["clipped"]().item()
    pixels, samples = (2 * 128 + 128 + 64) / (3 * 320), (2 / 3 + 1 / 3 + 1 / 3) / 3
    assert min(abs(share - pixels), abs(share - samples)) < 1e-5


DEGENERATE = {
    "empty": torch.zeros(2, 1, SIZE, SIZE),
    "a pixel": _rectangles((5, 9, 1, 1), (31, 31, 1, 1)),
    "a line": _rectangles((0, 7, SIZE, 1), (13, 0, 1, SIZE)),
    "empty beside a hole": _rectangles((0, 0, 0, 0), (4, 4, 20, 20)),
    "all": torch.ones(2, 1, SIZE, SIZE),
}


@pytest.mark.parametrize("of", OBJECTIVES)
@pytest.mark.parametrize("mask", DEGENERATE.values(), ids=DEGENERATE)
def test_empty_tiny_and_full_holes_stay_finite(of, mask):
    """The releases' strokes may be empty, and their losses divide by the mask's mean."""
    scene = _scene(mask)
    losses = _losses(scene, of)
    values = {name: loss() for name, loss in losses.items()}
    assert [name for name, value in values.items() if value.shape != () or not value.isfinite()] == []
    sum(value for value in values.values() if value.requires_grad).backward()
    for network in (scene[0]["generator"], scene[0]["critics"]):
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("of", OBJECTIVES)
def test_black_and_flat_photos_stay_finite(of):
    """The releases normalise features without an epsilon: a zero vector is not a number."""
    networks, batch = _scene()
    with torch.no_grad():
        networks["generator"].output.zero_()
    losses = _losses((networks, batch._replace(image=torch.zeros_like(batch.image))), of)
    values = {name: loss() for name, loss in losses.items()}
    assert [name for name, value in values.items() if not value.isfinite()] == []
    sum(value for value in values.values() if value.requires_grad).backward()
    assert networks["generator"].output.grad.isfinite().all()


@pytest.mark.parametrize("of", OBJECTIVES)
def test_losses_leave_the_batch_and_the_callers_random_numbers_alone(scene, of):
    before = [tensor.clone() for tensor in scene[1]]
    state = torch.get_rng_state()
    for loss in _losses(scene, of).values():
        loss()
    assert all(torch.equal(tensor, kept) for tensor, kept in zip(scene[1], before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["gmcnn", "gmcnn_free_form", "gmcnn_release"])
@pytest.mark.parametrize("missing", ["a hole", "nothing", "a pixel"])
def test_a_systems_own_networks_stay_finite_through_its_losses(name, missing):
    system = SYSTEMS[name]
    torch.manual_seed(0)
    networks = {part: build(4) for part, build in system.parts.items()} | {"features": _Features()}
    image, mask = holed(2, 64, 64)
    if missing != "a hole":
        mask = torch.zeros_like(mask)
        mask[..., 20, 30] = float(missing == "a pixel")
    losses = system.objective(networks, Batch(image, mask, mask), torch.Generator().manual_seed(0))
    values = {key: loss() for key, loss in losses.items()}
    assert [key for key, value in values.items() if not value.isfinite()] == []
    sum(value for value in values.values() if value.requires_grad).backward()
    for part in ("generator", "critics"):
        assert all(p.grad is None or p.grad.isfinite().all() for p in networks[part].parameters())


# --- Schedule --------------------------------------------------------------------------------------------------------


def _updates(phase: Any) -> list[tuple[str, dict[str, float], int]]:
    return [(u.network, dict(u.losses), u.fresh_batches) for u in phase.updates]


def test_the_papers_schedule():
    """The PyTorch release takes its critic steps on one batch and one frozen fake, and computes no penalty."""
    first, second = schedule()
    assert [first.name, second.name] == ["reconstruction", "adversarial"]
    assert _updates(first) == [("generator", {"confidence_l1": 1.0}, 0)]
    assert _updates(second) == [
        ("critics", {"wasserstein": 1.0, "gradient_penalty": 10.0}, 5),
        ("generator", {"confidence_l1": 1.0, "id_mrf": 0.02, "adversarial": 0.001}, 0),
    ]
    assert (first.batches_per_step, second.batches_per_step) == (1, 6)


def test_the_releases_schedule():
    first, second = hinge_schedule()
    assert [first.name, second.name] == ["reconstruction", "adversarial"]
    assert _updates(first) == [("generator", {"confidence_l1": 1.4, "known_l1": 1.2}, 0)]
    assert _updates(second) == [
        ("critics", {"hinge": 1.0}, 5),
        ("generator", {"confidence_l1": 1.4, "known_l1": 1.2, "id_mrf": 0.05, "adversarial": 0.001}, 0),
    ]


def test_the_numbers_of_a_schedule_arrive():
    first, second = schedule(7, 9, 3, adversarial=0.25, id_mrf=2.0, gradient_penalty=4.0)
    assert (first.steps, second.steps) == (7, 9)
    assert _updates(second) == [
        ("critics", {"wasserstein": 1.0, "gradient_penalty": 4.0}, 3),
        ("generator", {"confidence_l1": 1.0, "id_mrf": 2.0, "adversarial": 0.25}, 0),
    ]


def test_the_ablations_are_numbers_and_a_loss_at_0_is_left_out():
    _, second = schedule(
        confidence_l1=0, discounted_l1=1, id_mrf=0, nearest_neighbour=0.02, gradient_penalty=0, confident_penalty=10
    )
    assert _updates(second) == [
        ("critics", {"wasserstein": 1.0, "confident_penalty": 10.0}, 5),
        ("generator", {"discounted_l1": 1.0, "nearest_neighbour": 0.02, "adversarial": 0.001}, 0),
    ]
    first, second = schedule(confidence_l1=0, plain_l1=1, id_mrf=0, adversarial=0)
    assert _updates(first) == [("generator", {"plain_l1": 1.0}, 0)]
    assert _updates(second) == [("generator", {"plain_l1": 1.0}, 0)]


@pytest.mark.parametrize("of", [schedule, hinge_schedule])
def test_what_is_watched_costs_no_feature_pass_of_its_own(of):
    """Quantities of ID-MRF are watched where it is computed, and nowhere else."""

    def watched(**numbers: float) -> list[tuple[str, ...]]:
        return [update.watched for phase in of(**numbers) for update in phase.updates if update.network == "generator"]

    first, second = watched()
    assert not [name for name in first if name.startswith("id_mrf")]
    assert {"id_mrf_relu3_2", "id_mrf_relu4_2"} <= set(second)
    assert [[n for n in names if n.startswith("id_mrf")] for names in watched(id_mrf=0)] == [[], []]
    assert all(not u.watched for phase in of() for u in phase.updates if u.network == "critics")


@pytest.mark.parametrize("name", ["gmcnn", "gmcnn_free_form", "gmcnn_release"])
def test_a_system_names_its_parts_and_losses_as_its_schedule_does(name, scene):
    system = SYSTEMS[name]
    phases = system.schedule()
    assert set(system.parts) == {u.network for p in phases for u in p.updates}
    assert set(system.frozen) == {"features"}
    assert system.generator == "gmcnn"
    losses = _losses(scene, system.objective)
    assert {n for p in phases for u in p.updates for n in (*u.losses, *u.watched)} <= set(losses)
    every = system.schedule(**{n: 1.0 for n in losses if n in signature(system.schedule).parameters})
    assert {n for p in every for u in p.updates for n in u.losses} <= set(losses)


def _smallest_side_of_a_strided_convolutions_input(critics: nn.Module, size: int) -> int:
    sides: list[int] = []
    for layer in critics.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, given: sides.append(min(given[0].shape[2:])))
    critics(*holed(1, size, size), *_corners((0, 0)))
    return min(sides)


@pytest.mark.parametrize("name", ["gmcnn", "gmcnn_free_form", "gmcnn_release"])
def test_in_bfloat16_no_strided_convolution_meets_a_single_cell(name):
    """Its gradients are wrong on some processors."""
    system = SYSTEMS[name]
    assert _smallest_side_of_a_strided_convolutions_input(system.parts["critics"](2), system.smallest_in_bfloat16) > 1


def test_below_the_smallest_size_the_local_critic_does_meet_single_cells():
    assert _smallest_side_of_a_strided_convolutions_input(Critics(2), SYSTEMS["gmcnn"].smallest_in_bfloat16 - 16) == 1


def test_each_system_trains_against_the_critics_of_its_source():
    assert SYSTEMS["gmcnn"].parts == {"generator": Generator, "critics": Critics}
    assert SYSTEMS["gmcnn_free_form"].parts == {"generator": Generator, "critics": FreeFormCritics}
    assert SYSTEMS["gmcnn_release"].parts == {"generator": Generator, "critics": SpectralNormCritics}
    assert SYSTEMS["gmcnn"].objective is SYSTEMS["gmcnn_free_form"].objective is objective
    assert SYSTEMS["gmcnn_release"].objective is hinge_objective


def test_a_second_phase_that_asks_no_critic_trains_none():
    phases = schedule(adversarial=0.0)
    assert [update.network for update in phases[1].updates] == ["generator"]


@pytest.mark.parametrize("kernels", [(1, 1, 1), (4, 5, 3), (101, 5, 3)])
def test_kernels_that_no_column_can_use_are_refused(kernels):
    with pytest.raises(ValueError, match="odd kernels from 3"):
        Generator(8, kernels)

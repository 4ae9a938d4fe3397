"""The ID-MRF loss against hand-worked numbers, a dense reference, bounds, invariances and finite differences."""

from functools import partial
from math import exp, inf, log, nan

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintkit.errors import InpaintError
from inpaintkit.losses.id_mrf import id_mrf_loss, log_positions, nearest_neighbour_loss

LOSSES = [id_mrf_loss, nearest_neighbour_loss]


def _features(seed: int, n: int = 1, channels: int = 24, height: int = 32, width: int = 32) -> Tensor:
    """Maps as a network gives them: never negative, smooth with detail, channels of unlike strength."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, -(-height // 4), -(-width // 4), generator=rng)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic")
    detail = torch.randn(n, channels, height, width, generator=rng)
    return F.relu(smooth + 0.3 * detail + 0.5) * torch.linspace(0.5, 3, channels)[:, None, None]


def _hole(n: int = 1, size: int = 128) -> Tensor:
    """A mask of an image four times the size of the 32 x 32 maps, its square hole a little aside."""
    mask = torch.zeros(n, 1, size, size)
    mask[..., size // 4 : size // 4 + size // 2, size // 8 : size // 8 + size // 2] = 1
    return mask


def _small(n: int = 1, height: int = 4, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Double precision maps small enough for finite differences, and a mask of twice their size."""
    rng = torch.Generator().manual_seed(height)
    generated, target = (torch.randn(n, 3, height, width, generator=rng, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(n, 1, 2 * height, 2 * width)
    mask[..., 2:7, 3:9] = 1
    return generated.requires_grad_(), target, mask


def _dense(
    generated: Tensor, target: Tensor, hole: Tensor | None = None, bandwidth: float = 0.5, eps: float = 1e-5
) -> Tensor:
    """The loss written out for one image, all distances at once; `hole` marks positions of the flattened map."""
    made, wanted = generated[0].flatten(1), target[0].flatten(1)
    mean = wanted.mean(1, keepdim=True)
    made, wanted = made - mean, wanted - mean
    made = made if hole is None else made[:, hole]
    distance = (1 - (made / made.norm(dim=0)).T @ (wanted / wanted.norm(dim=0))) / 2
    distance = distance.clamp(min=0)
    relative = distance / (distance.min(1, keepdim=True).values + eps)
    weights = ((1 - relative) / bandwidth).exp()
    share = weights / weights.sum(1, keepdim=True)
    count = wanted.shape[1] if hole is None else made.shape[1]
    return -(share.max(0).values.sum() / count).log()


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_hand() -> tuple[Tensor, Tensor]:
    """Two target positions that point to the right and to the left; generated: 60 degrees off the first, the second.

    Half the cosine distances: 1/4 and 3/4; 1 and 0.
    """
    target = torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=torch.float64).view(1, 2, 1, 2)
    generated = torch.tensor([[0.5, -2.0], [0.75**0.5, 0.0]], dtype=torch.float64).view(1, 2, 1, 2)
    return generated, target


def test_id_mrf_by_hand(by_hand):
    # relative distances 1 and 3 over a bandwidth of 1/2: the first row's softmax is 1 / (1 + e^-4) and the rest
    first = 1 / (1 + exp(-4))
    assert id_mrf_loss(*by_hand, eps=1e-12).item() == pytest.approx(-log((first + 1) / 2), abs=1e-9)
    # over a bandwidth of 2: 1 / (1 + e^-1)
    first = 1 / (1 + exp(-1))
    assert id_mrf_loss(*by_hand, eps=1e-12, bandwidth=2).item() == pytest.approx(-log((first + 1) / 2), abs=1e-9)
    # eps 1/4 halves the first row's relative distances: 1/2 and 3/2; the second's become 4 and 0
    first, second = 1 / (1 + exp(-2)), 1 / (1 + exp(-8))
    assert id_mrf_loss(*by_hand, eps=0.25).item() == pytest.approx(-log((first + second) / 2), abs=1e-9)


def test_with_a_mask_the_generated_positions_are_counted(by_hand):
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    # one generated position: its softmax sums to 1, and 1 over one position leaves nothing to lose
    assert id_mrf_loss(*by_hand, mask).item() == pytest.approx(0, abs=1e-12)
    assert id_mrf_loss(*by_hand, torch.ones_like(mask)).item() == id_mrf_loss(*by_hand).item()


def test_nearest_neighbour_by_hand(by_hand):
    assert nearest_neighbour_loss(*by_hand).item() == pytest.approx((0.5 + 0) / 2)
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert nearest_neighbour_loss(*by_hand, mask).item() == pytest.approx(0.5)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_the_dense_form_gives_the_same_value_and_gradient(masked):
    generated, target = (_features(seed, channels=8, height=12, width=16).double() for seed in (1, 2))
    mask, hole = None, None
    if masked:
        mask = torch.zeros(1, 1, 24, 32)
        mask[..., 5:16, 3:23] = 1  # rows 2 to 7 and columns 1 to 11 would all be touched
        hole = torch.zeros(12, 16, dtype=torch.bool)
        hole[3:8, 2:11] = True  # row 2 and columns 1 and 11 are covered by just a half
        hole = hole.flatten()
    streamed, dense = generated.clone().requires_grad_(), generated.clone().requires_grad_()
    value, reference = id_mrf_loss(streamed, target, mask, chunk=32), _dense(dense, target, hole)
    (3 * value).backward()
    (3 * reference).backward()
    assert value.item() == pytest.approx(reference.item(), abs=1e-10)
    assert (streamed.grad - dense.grad).abs().max() < 1e-10
    assert dense.grad.abs().max() > 1e-4
    single = id_mrf_loss(generated.float(), target.float(), mask, chunk=32)
    assert single.item() == pytest.approx(reference.item(), abs=1e-6)


def test_nearest_neighbours_match_the_dense_form():
    generated, target, _ = _small()
    made, wanted = generated[0].flatten(1), target[0].flatten(1)
    mean = wanted.mean(1, keepdim=True)
    similarity = F.cosine_similarity((made - mean)[:, :, None], (wanted - mean)[:, None, :], dim=0)
    reference = (1 - similarity.max(1).values).mean()
    value = nearest_neighbour_loss(generated, target, chunk=7)
    assert value.item() == pytest.approx(reference.item(), abs=1e-12)
    (ours,), (theirs,) = (torch.autograd.grad(loss, generated) for loss in (value, reference))
    assert (ours - theirs).abs().max() < 1e-12


# --- Bounds and invariances ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, _hole()], ids=["no mask", "mask"])
@pytest.mark.parametrize("loss", LOSSES)
def test_identical_maps_lose_nothing(loss, mask):
    features = _features(3)
    assert abs(loss(features, features, mask).item()) < 1e-4


def test_a_similarity_that_rounding_lifts_above_one_counts_as_one():
    features = _features(3)
    assert abs(id_mrf_loss(features, features, eps=1e-9).item()) < 1e-3


@pytest.mark.parametrize("mask", [None, _hole()], ids=["no mask", "mask"])
def test_a_circular_shift_loses_nothing(mask):
    target = _features(4)
    shifted = target.roll((5, 7), (2, 3))
    assert id_mrf_loss(shifted, target, mask).item() < 1e-3
    # centring each position over its channels, as a published port does, would not see that these are the same patches
    wrong = target.mean(1, keepdim=True)
    assert _dense(shifted - wrong, target - wrong) > 0.05


@pytest.mark.parametrize("mask", [None, _hole()], ids=["no mask", "mask"])
def test_a_constant_map_loses_nearly_all_there_is(mask):
    target = _features(5)
    constant = target[:, :, 3:4, 8:9].expand_as(target)
    bound = log_positions(constant, mask).item()
    assert 0.85 * bound < id_mrf_loss(constant, target, mask).item() <= bound + 1e-5


@pytest.mark.parametrize("mask", [None, _hole()], ids=["no mask", "mask"])
def test_all_values_lie_between_nothing_and_the_logarithm_of_the_positions(mask):
    target = _features(6)
    candidates = {
        "blurred": F.avg_pool2d(target, 7, 1, 3, count_include_pad=False),
        "independent": _features(7),
        "opposite": -target,
        "far away": 1000 * _features(8),
        "constant": torch.ones_like(target),
    }
    bound = log_positions(target, mask).item()
    values = {name: id_mrf_loss(generated, target, mask).item() for name, generated in candidates.items()}
    assert all(0 < value <= bound + 1e-5 for value in values.values()), values
    assert values["blurred"] < values["independent"]


def test_positions_may_stand_in_any_order():
    generated, target = _features(8).double(), _features(9).double()
    order = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(0))
    shuffled = target.flatten(2)[:, :, order].view_as(target)
    for loss in LOSSES:
        expected = loss(generated, target).item()
        assert loss(generated, shuffled).item() == pytest.approx(expected, abs=1e-10)
        assert loss(shuffled, target).item() == pytest.approx(loss(target, target).item(), abs=1e-10)
        moved = generated.flatten(2)[:, :, order].view_as(generated)
        assert loss(moved, target).item() == pytest.approx(expected, abs=1e-10)


def test_diverse_matches_lose_less_than_matches_that_are_all_one_patch():
    target = _features(10)
    noise = 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    diverse = target.roll((9, 4), (2, 3)) + noise
    monotonous = target[:, :, 6:7, 6:7].expand_as(target) + noise
    for mask in (None, _hole()):
        assert id_mrf_loss(diverse, target, mask) < 0.5 * id_mrf_loss(monotonous, target, mask)
    # the rival does not mind: every patch has its near neighbour
    assert nearest_neighbour_loss(monotonous, target).item() == pytest.approx(
        nearest_neighbour_loss(diverse, target).item(), abs=0.02
    )


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "masks"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_is_the_mean_of_its_samples(loss, masked):
    generated, target = _features(11, n=3).double(), _features(12, n=3).double()
    generated[1] = F.avg_pool2d(target[1], 3, 1, 1)
    masks = None
    if masked:
        masks = torch.cat([_hole(), _hole().flip(3), torch.zeros(1, 1, 128, 128)])
    alone = [
        loss(generated[i : i + 1], target[i : i + 1], None if masks is None else masks[i : i + 1]).item()
        for i in range(3)
    ]
    assert alone[0] != pytest.approx(alone[1], rel=1e-3)
    assert loss(generated, target, masks).item() == pytest.approx(sum(alone) / 3, rel=1e-12)


def test_a_sample_without_generated_positions_counts_as_nothing():
    generated, target = _features(13).requires_grad_(), _features(14)
    for loss in LOSSES:
        value = loss(generated, target, torch.zeros(1, 1, 128, 128))
        (gradient,) = torch.autograd.grad(value, generated)
        assert value.item() == 0
        assert not gradient.any()


# --- Gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_right_in_double_precision(loss, masked):
    generated, target, mask = _small(n=2)
    call = partial(loss, target=target, mask=mask if masked else None, chunk=7)
    assert torch.autograd.gradcheck(call, (generated,))


def test_the_gradient_is_right_where_eps_and_bandwidth_matter():
    generated, target, _ = _small()
    call = partial(id_mrf_loss, target=target, bandwidth=1.5, eps=0.1, chunk=11)
    assert torch.autograd.gradcheck(call, (generated,))


def test_only_the_hole_gets_a_gradient():
    generated, target = _features(15).requires_grad_(), _features(16)
    for loss in LOSSES:
        (gradient,) = torch.autograd.grad(loss(generated, target, _hole()), generated)
        assert gradient[:, :, 8:24, 4:20].any()
        gradient[:, :, 8:24, 4:20] = 0
        assert not gradient.any()


def test_the_target_gets_no_gradient():
    generated, target = _features(17).requires_grad_(), _features(18).requires_grad_()
    for loss in LOSSES:
        loss(generated, target).backward()
        assert target.grad is None
        assert generated.grad is not None


def test_a_step_along_the_gradient_lowers_the_loss():
    generated, target = _features(19).requires_grad_(), _features(20)
    for loss in LOSSES:
        value = loss(generated, target, _hole())
        (gradient,) = torch.autograd.grad(value, generated)
        assert loss(generated - 20 * gradient, target, _hole()) < value - 1e-4


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("generated", "target"),
    [
        (torch.zeros(1, 8, 6, 6), torch.zeros(1, 8, 6, 6)),
        (torch.zeros(1, 8, 6, 6), _features(21, 1, 8, 6, 6)),
        (_features(21, 1, 8, 6, 6), torch.zeros(1, 8, 6, 6)),
        (_features(21, 1, 8, 6, 6), torch.full((1, 8, 6, 6), 2.0)),
        (_features(21, 1, 8, 6, 6).mean((2, 3), keepdim=True).expand(1, 8, 6, 6), _features(21, 1, 8, 6, 6)),
        (_features(21, 1, 8, 6, 6), _features(21, 1, 8, 6, 6)),
        (1e-30 * _features(22, 1, 8, 6, 6), 1e-30 * _features(23, 1, 8, 6, 6)),
        (1e15 * _features(22, 1, 8, 6, 6), 1e15 * _features(23, 1, 8, 6, 6)),
    ],
    ids=["black", "no features", "no target", "flat target", "the mean", "identical", "tiny", "huge"],
)
def test_degenerate_features_stay_finite(loss, generated, target):
    generated = generated.clone().requires_grad_()
    for mask in (None, _hole(size=24)):
        value = loss(generated, target, mask)
        (gradient,) = torch.autograd.grad(value, generated)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 100


# --- How it is computed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_chunk_size_changes_nothing(loss):
    generated, target = _features(24, height=10, width=13).double(), _features(25, height=10, width=13).double()
    results = []
    for chunk in (1, 7, 16, 48, 130, 5000):
        features = generated.clone().requires_grad_()
        value = loss(features, target, chunk=chunk)
        value.backward()
        results.append((value.item(), features.grad))
    for value, gradient in results[1:]:
        assert value == pytest.approx(results[0][0], abs=1e-12)
        assert (gradient - results[0][1]).abs().max() < 1e-12


def test_nothing_of_the_size_of_all_pairs_is_kept():
    generated, target = _features(26).requires_grad_(), _features(27)
    kept = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = id_mrf_loss(generated, target)
    value.backward()
    assert generated.numel() <= max(kept) <= target.numel() < 1024 * 1024 // 16


@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_and_half_precision_features_are_computed_in_float32(loss):
    generated, target = _features(28), _features(29)
    expected = loss(generated, target)
    with torch.autocast("cpu", torch.bfloat16):
        features = generated.clone().requires_grad_()
        value = loss(features, target)
        value.backward()
        assert value.dtype == torch.float32
        assert value.item() == expected.item()
        assert features.grad.dtype == torch.float32
    halved = generated.bfloat16().requires_grad_()
    value = loss(halved, target.bfloat16())
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == loss(halved.detach().float(), target.bfloat16().float()).item()
    assert halved.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("loss", LOSSES)
def test_a_value_without_a_gradient_is_the_same(loss):
    generated, target = _features(30), _features(31)
    with torch.no_grad():
        value = loss(generated.clone().requires_grad_(), target, _hole())
    assert not value.requires_grad
    assert value.item() == loss(generated.requires_grad_(), target, _hole()).item()


@pytest.mark.parametrize("loss", LOSSES)
def test_no_argument_is_modified(loss):
    generated, target, mask = _features(32), _features(33), _hole()
    arguments = [generated.requires_grad_(), target, mask]
    before = [argument.detach().clone() for argument in arguments]
    loss(*arguments, max_positions=100, rng=torch.Generator().manual_seed(0)).backward()
    log_positions(generated, mask)
    for argument, copy in zip(arguments, before, strict=True):
        assert torch.equal(argument, copy)


# --- Sampling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, _hole()], ids=["no mask", "mask"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sampling_follows_its_generator_alone(loss, mask):
    generated, target = _features(34, n=2), _features(35, n=2)
    mask = None if mask is None else mask.expand(2, -1, -1, -1)
    state = torch.random.get_rng_state()
    first, again, other = (
        loss(generated, target, mask, max_positions=200, rng=torch.Generator().manual_seed(seed)).item()
        for seed in (5, 5, 6)
    )
    assert first == again != other
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == pytest.approx(loss(generated, target, mask).item(), rel=0.25)


def test_generated_and_target_positions_are_drawn_independently():
    features = _features(36)
    value = id_mrf_loss(features, features, max_positions=256, rng=torch.Generator().manual_seed(0)).item()
    assert 0.1 < value <= log_positions(features, max_positions=256).item() == pytest.approx(log(256))


def test_a_cap_that_is_not_exceeded_needs_no_generator():
    generated, target = _features(37), _features(38)
    for loss in LOSSES:
        assert loss(generated, target, max_positions=1024).item() == loss(generated, target).item()
        with pytest.raises(InpaintError, match=r"1024 positions with max_positions 1023 and no rng"):
            loss(generated, target, max_positions=1023)


def test_sampling_covers_all_positions():
    generated, target = _features(39, height=4, width=4).requires_grad_(), _features(40, height=4, width=4)
    rng = torch.Generator().manual_seed(0)
    touched = torch.zeros(4, 4, dtype=torch.bool)
    for _ in range(40):
        value = nearest_neighbour_loss(generated, target, max_positions=3, rng=rng)
        (gradient,) = torch.autograd.grad(value, generated)
        now = (gradient != 0).any(1)[0]
        assert now.sum() <= 3
        touched |= now
    assert touched.all()


# --- The logarithm to divide by, and refusals ------------------------------------------------------------------------


def test_log_positions_counts_what_is_generated():
    features = _features(41, n=2)
    assert log_positions(features).item() == pytest.approx(log(1024))
    assert log_positions(features, max_positions=100).item() == pytest.approx(log(100))
    masks = torch.cat([_hole(), torch.zeros(1, 1, 128, 128)])
    masks[1, :, 0:16, 0:32] = 1
    assert log_positions(features, masks).item() == pytest.approx((log(256) + log(32)) / 2)
    assert log_positions(features, masks, max_positions=64).item() == pytest.approx((log(64) + log(32)) / 2)
    assert log_positions(features, torch.zeros(2, 1, 128, 128)).item() == pytest.approx(log(2))


@pytest.mark.parametrize(
    ("generated", "target", "mask", "message"),
    [
        ((2, 3, 4), (2, 3, 4), None, r"shape \(2, 3, 4\).*expected a float tensor \(N, C, H, W\)"),
        ((0, 3, 4, 4), (0, 3, 4, 4), None, r"shape \(0, 3, 4, 4\)"),
        ((1, 3, 4, 4), (1, 3, 4, 5), None, r"shape \(1, 3, 4, 5\).*generated features' shape \(1, 3, 4, 4\)"),
        ((2, 3, 4, 4), (2, 3, 4, 4), (1, 1, 8, 8), r"mask of shape \(1, 1, 8, 8\).*expected \(2, 1, h, w\)"),
        ((2, 3, 4, 4), (2, 3, 4, 4), (2, 3, 8, 8), r"mask of shape"),
        ((2, 3, 4, 4), (2, 3, 4, 4), (2, 8, 8), r"mask of shape"),
    ],
)
@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_shapes_are_refused_in_one_line(loss, generated, target, mask, message):
    with pytest.raises(InpaintError, match=message) as refusal:
        loss(torch.ones(generated), torch.ones(target), None if mask is None else torch.ones(mask))
    assert "\n" not in str(refusal.value)


def test_wrong_types_and_numbers_are_refused():
    features = _features(42)
    with pytest.raises(InpaintError, match=r"torch\.int64.*expected a float tensor"):
        id_mrf_loss(features.long(), features)
    with pytest.raises(InpaintError, match=r"torch\.int64.*expected a float tensor"):
        nearest_neighbour_loss(features, features.long())
    with pytest.raises(InpaintError, match=r"shape \(3,\)"):
        log_positions(torch.ones(3))
    for numbers in ({"bandwidth": 0}, {"eps": -1e-5}, {"chunk": 0}, {"max_positions": 0}, {"bandwidth": float("nan")}):
        with pytest.raises(InpaintError, match=r"must be"):
            id_mrf_loss(features, features, **numbers)


def test_a_value_that_is_no_number_shows_whatever_the_chunk():
    generated, target = torch.rand(1, 4, 8, 8), torch.rand(1, 4, 8, 8)
    generated[0, :, 0, 0] = nan
    assert all(id_mrf_loss(generated, target, chunk=chunk).isnan() for chunk in (16, 64))


def test_a_second_derivative_is_refused_not_guessed():
    generated = torch.rand(1, 4, 4, 4, requires_grad=True)
    loss = id_mrf_loss(generated, torch.rand(1, 4, 4, 4))
    with pytest.raises(InpaintError, match="no second derivative"):
        torch.autograd.grad(loss, generated, create_graph=True)


@pytest.mark.parametrize("numbers", [{"bandwidth": inf}, {"eps": inf}, {"chunk": 3.5}])
def test_numbers_without_a_meaning_are_refused(numbers):
    with pytest.raises(InpaintError):
        id_mrf_loss(torch.rand(1, 4, 4, 4), torch.rand(1, 4, 4, 4), **numbers)

"""Losses that compare generated features with the nearest of a photo's own, wherever in the map those stand.

Wang, Tao, Qi, Shen and Jia 2018 (GMCNN). Feature maps are (N, C, H, W), one position a 1 x 1 patch. A mask
is that of the image, (N, 1, h, w) of any size, 1 = missing: a position belongs to the hole where the mask, averaged
over the pixels the position stands for, exceeds one half. Generated positions are then those of the hole, target
positions those of the whole map, as the article's figure draws it.
"""

from collections.abc import Iterator
from math import inf, log
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InpaintError

SHORTEST = 1e-8
"""A centred feature vector below this length has no direction: it is similar to nothing and gets no gradient."""

ROUNDING = 16
"""The same below this many roundings of the mean that was taken away: what is left of such a vector is their noise."""

BLOCK = 16
"""Rows that are compared without their numbers before the number of the largest is looked up."""


def id_mrf_loss(
    generated: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    bandwidth: float = 0.5,
    eps: float = 1e-5,
    max_positions: int | None = None,
    rng: torch.Generator | None = None,
    chunk: int = 512,
) -> Tensor:
    """Implicit diversified Markov random field: every target patch shall be the clear match of some generated patch.

    With d(i, j) half the cosine distance of generated position i and target position j, both centred by each channel's
    mean over the image's own target map, s(i, j) is the softmax over j of -d(i, j) / (bandwidth (min_j d(i, j) + eps)),
    m(j) the largest s(i, j) over i, and the loss -log(sum_j m(j) / Z), averaged over the batch. Z counts the target
    positions without a mask, the sample's generated positions with one. Either way the loss is 0 for a perfect match
    and at most the logarithm that `log_positions` returns. A sample without generated positions counts as 0. One layer,
    unweighted.

    Above `max_positions` the generated and the target positions of each sample are drawn from `rng`, independently.
    `chunk` generated positions are compared at a time: memory grows with chunk x target positions. No gradient flows to
    the target. Computed in float32 (float64 stays), whatever autocast says.

    Source: Wang et al. 2018, with distances as in the authors' TensorFlow release (bandwidth 0.5, eps
    1e-5): the printed ratio of similarities is not 0 at a perfect match and hardly moves. The release's exp(1 /
    bandwidth), a constant factor, cancels. Like the release and unlike the article, no target patch is left out of the
    softmax. Differs: the release centres by the mean over the batch too, which ties an image's loss to its neighbours.
    Diverse matches cost less than matches that are all one patch; a review has it the other way round.

    Raises: InpaintError for maps or a mask of the wrong shape, numbers out of range, a missing `rng`, and a backward
    pass with create_graph: there is no second derivative.
    """
    if not 0 < bandwidth < inf or not 0 < eps < inf:
        raise InpaintError(f"bandwidth {bandwidth} and eps {eps}: both must be above 0 and finite")
    losses = []
    with torch.autocast(generated.device.type, enabled=False):
        for rows, columns in _pairs(generated, target, mask, max_positions, rng, chunk):
            count = len(columns if mask is None else rows)
            losses.append(_StreamedIdMrf.apply(rows, columns, count, bandwidth, eps, chunk) if count else rows.sum())
        return torch.stack(losses).mean()


def nearest_neighbour_loss(
    generated: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    max_positions: int | None = None,
    rng: torch.Generator | None = None,
    chunk: int = 512,
) -> Tensor:
    """1 - the highest cosine similarity of a generated position to any target position: the rival of the ID-MRF loss.

    Averaged over each sample's generated positions, then over the batch; range [0, 2]. Centring, mask, sampling,
    precision and errors as in `id_mrf_loss`; a sample without generated positions counts as 0. Nothing keeps all
    positions from matching the same target patch, which shows as repeated texture.

    Source: Wang et al. 2018 compare ID-MRF with it, as the matching without diversity.
    """
    losses = []
    with torch.autocast(generated.device.type, enabled=False):
        for rows, columns in _pairs(generated, target, mask, max_positions, rng, chunk):
            with torch.no_grad():
                nearest = [torch.mm(part, columns.t()).argmax(1) for part in rows.split(chunk)]
            similarity = (rows * columns[torch.cat(nearest)]).sum(1)
            losses.append((1 - similarity).mean() if len(rows) else rows.sum())
        return torch.stack(losses).mean()


def log_positions(generated: Tensor, mask: Tensor | None = None, *, max_positions: int | None = None) -> Tensor:
    """The largest value `id_mrf_loss` can take: log of the generated positions, averaged over the batch.

    Divide by it to compare layers, sizes and holes in [0, 1]. At least log 2, so that one may divide even where no
    sample has more than one position (the loss is 0 there).
    """
    _check(generated, generated, mask, max_positions, 1)
    count = _in_hole(generated, mask).flatten(1).sum(1).clamp(min=1, max=max_positions)
    return count.to(_working_type(generated)).log().mean().clamp_min(log(2))


# --- Positions and their directions ----------------------------------------------------------------------------------


def _check(generated: Tensor, target: Tensor, mask: Tensor | None, max_positions: int | None, chunk: int) -> None:
    """Refuse what cannot be compared."""
    shape = tuple(generated.shape)
    if len(shape) != 4 or 0 in shape or not generated.is_floating_point():
        raise InpaintError(
            f"generated features of shape {shape} and type {generated.dtype}: expected a float tensor (N, C, H, W)"
        )
    if target.shape != generated.shape or not target.is_floating_point():
        raise InpaintError(
            f"target features of shape {tuple(target.shape)} and type {target.dtype}: expected a float tensor of the "
            f"generated features' shape {shape}; take both from the same layer and size of image"
        )
    if mask is not None and (mask.ndim != 4 or mask.shape[:2] != (shape[0], 1) or 0 in mask.shape):
        raise InpaintError(
            f"mask of shape {tuple(mask.shape)} for features of shape {shape}: expected ({shape[0]}, 1, h, w), the "
            "image's mask, 1 = missing"
        )
    if not isinstance(chunk, int) or chunk < 1 or (max_positions is not None and max_positions < 1):
        raise InpaintError(f"chunk {chunk} and max_positions {max_positions}: both must be whole and 1 or more")


def _in_hole(generated: Tensor, mask: Tensor | None) -> Tensor:
    """Which positions of the map are generated, bool (N, H, W): all of them without a mask."""
    n, _, height, width = generated.shape
    if mask is None:
        return torch.ones(n, height, width, dtype=torch.bool, device=generated.device)
    return F.adaptive_avg_pool2d(mask.to(generated.device, torch.float32), (height, width))[:, 0] > 0.5


def _working_type(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _pairs(
    generated: Tensor,
    target: Tensor,
    mask: Tensor | None,
    max_positions: int | None,
    rng: torch.Generator | None,
    chunk: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """For every sample the unit vectors of its generated positions (n, C) and of its target positions (m, C)."""
    _check(generated, target, mask, max_positions, chunk)
    holes = None if mask is None else _in_hole(generated, mask).flatten(1)
    kind = _working_type(generated)
    for i, (made, wanted) in enumerate(zip(generated, target.detach(), strict=True)):
        rows, columns = (features.flatten(1).t().to(kind).contiguous() for features in (made, wanted))
        mean = columns.mean(0)  # of the whole map, whichever positions are compared
        if holes is not None:
            rows = rows[holes[i]]
        rows, columns = (_directions(mean, _sample(part, max_positions, rng)) for part in (rows, columns))
        yield rows, columns


def _sample(positions: Tensor, max_positions: int | None, rng: torch.Generator | None) -> Tensor:
    """At most `max_positions` of the rows of (n, C), drawn without replacement."""
    if max_positions is None or len(positions) <= max_positions:
        return positions
    if rng is None:
        raise InpaintError(
            f"{len(positions)} positions with max_positions {max_positions} and no rng: give the torch.Generator that "
            "draws them, or a higher max_positions"
        )
    drawn = torch.randperm(len(positions), generator=rng, device=rng.device)[:max_positions]
    return positions[drawn.to(positions.device)]


def _directions(mean: Tensor, vectors: Tensor) -> Tensor:
    """Where the rows of (n, C) lie from `mean`, at length 1; rows too close to it become 0 and pass no gradient."""
    centred = vectors - mean
    length = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    shortest = (ROUNDING * torch.finfo(mean.dtype).eps * torch.linalg.vector_norm(mean)).clamp_min(SHORTEST)
    return centred / length.masked_fill(length < shortest, inf)


# --- The loss of one sample, a chunk of generated positions at a time ------------------------------------------------


class _StreamedIdMrf(torch.autograd.Function):
    """-log(sum_j m(j) / count) of unit vectors, and its gradient to the generated ones, in one sweep over them.

    Nothing of the size generated x target is kept. Write l(i, j) for the softmax's argument, whose constant in each row
    cancels; a(i) for 1 / (bandwidth (min_j d(i, j) + eps)); W(i) for the target positions whose largest s row i holds;
    and t(n(i)) for the nearest target. With M = sum_j m(j), the gradient of row i, through a(i) as well, is

        a(i) / 2M [ r(i) sum_j s(i, j) t(j) - sum_W m(j) t(j)
                    + bandwidth (r(i) sum_j s(i, j) l(i, j) - sum_W m(j) l(i, j)) t(n(i)) ],   r(i) = sum_W m(j).

    The first sum of each difference is taken while the row is at hand, for those rows that hold a maximum so far; the
    second needs no more than the maxima. So the backward pass only scales.
    """

    @staticmethod
    def forward(
        ctx: Any, generated: Tensor, target: Tensor, count: int, bandwidth: float, eps: float, chunk: int
    ) -> Tensor:
        """The loss; keeps the gradient, which is as large as `generated`, when one is needed."""
        found = _sweep(generated, target, bandwidth, eps, chunk, with_rows=ctx.needs_input_grad[0])
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(_gradient(found, target, bandwidth))
        # comparisons pass over values that are not numbers: the last term does not, and is 0 otherwise
        return -(found.maxima.sum() / count).log() + 0 * (generated.sum() + target.sum())

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The kept gradient times what comes from above. Raises: InpaintError when asked for a graph of it."""
        if torch.is_grad_enabled():
            raise InpaintError("ID-MRF has no second derivative: call backward or grad without create_graph")
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None, None, None, None


class _Sweep(NamedTuple):
    """What one sweep finds: of each target position (m,), then of each generated one, (n,), (n,), (n,) and (n, C).

    Rows that hold no maximum have zeros.
    """

    maxima: Tensor  # m
    logits: Tensor  # l of the maximum
    holder: Tensor  # the row it stands in
    steepness: Tensor  # a
    nearest: Tensor  # n
    mean_logit: Tensor  # sum_j s l
    mean_target: Tensor  # sum_j s t


def _sweep(generated: Tensor, target: Tensor, bandwidth: float, eps: float, chunk: int, *, with_rows: bool) -> _Sweep:
    """Compare all rows with all targets; without `with_rows` only the maxima are sought."""
    rows, columns = len(generated), len(target)
    found = _Sweep(
        maxima=target.new_zeros(columns),
        logits=target.new_zeros(columns),
        holder=torch.zeros(columns, dtype=torch.long, device=target.device),
        steepness=target.new_zeros(rows),
        nearest=torch.zeros(rows, dtype=torch.long, device=target.device),
        mean_logit=target.new_zeros(rows),
        mean_target=torch.zeros_like(generated) if with_rows else generated,
    )
    buffers = [target.new_empty(min(chunk, rows), columns) for _ in range(2)]
    for start in range(0, rows, chunk):
        part = generated[start : start + chunk]
        logits, weights = (buffer[: len(part)] for buffer in buffers)
        steepness = _relative_softmax(part, target, bandwidth, eps, logits, weights)
        exceeded, values, at = _exceeding(weights, found.maxima)
        found.maxima[exceeded] = values
        if not with_rows:
            continue
        found.logits[exceeded], found.holder[exceeded] = logits[at, exceeded], at + start
        held = at.unique()  # rows that hold no maximum now will not hold one later
        here = held + start
        found.steepness[here] = steepness[held]
        found.mean_logit[here] = logits.mul_(weights).sum(1)[held]
        kept = torch.index_select(weights, 0, held, out=logits[: len(held)])
        found.nearest[here] = kept.argmax(1)
        found.mean_target[here] = torch.mm(kept, target)
    return found


def _relative_softmax(
    rows: Tensor, target: Tensor, bandwidth: float, eps: float, logits: Tensor, weights: Tensor
) -> Tensor:
    """Write l, 0 for the nearest target, and s, both (rows, targets); returns a, (rows,)."""
    torch.mm(rows, target.t(), out=logits)
    largest = logits.amax(1, keepdim=True)
    distance = (1 - largest).clamp_min(0) / 2  # rounding may lift a similarity above 1
    steepness = 1 / (bandwidth * (distance + eps))
    logits.sub_(largest).mul_(steepness / 2)
    torch.softmax(logits, 1, out=weights)
    return steepness[:, 0]


def _exceeding(weights: Tensor, maxima: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The columns of `weights` with a value above the maximum so far: which, that value, and the row it stands in.

    The same as the largest value of each column and its row, in stages: on a CPU PyTorch looks for a row's number
    along the first dimension without vector instructions, which would cost more than the softmax.
    """
    block = BLOCK if len(weights) % BLOCK == 0 else 1
    values, blocks = weights.unflatten(0, (-1, block)).amax(1).max(0)
    columns = (values > maxima).nonzero()[:, 0]
    rows = blocks[columns] * block + torch.arange(block, device=weights.device)[:, None]
    row = rows[0] + weights[rows, columns].argmax(0)
    return columns, values[columns], row


def _gradient(found: _Sweep, target: Tensor, bandwidth: float) -> Tensor:
    """The gradient of -log(sum m) to the generated unit vectors, (n, C); it takes over the memory of `mean_target`."""
    held, held_logit = (torch.zeros_like(found.mean_logit) for _ in range(2))
    held.index_add_(0, found.holder, found.maxima)
    held_logit.index_add_(0, found.holder, found.maxima * found.logits)
    gradient = found.mean_target.mul_(held[:, None])
    gradient.index_add_(0, found.holder, found.maxima[:, None] * target, alpha=-1)
    gradient.addcmul_(target[found.nearest], (held * found.mean_logit - held_logit)[:, None], value=bandwidth)
    return gradient.mul_((found.steepness / (2 * found.maxima.sum()))[:, None])

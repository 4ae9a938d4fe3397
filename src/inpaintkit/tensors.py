"""The contract on tensors: images (N, 3, H, W) float in [0, 1], masks (N, 1, H, W) with 1 = missing and 0 = known."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InpaintError


def check(image: Tensor, mask: Tensor, multiple: int = 1) -> None:
    """Refuse an image and mask that break the contract: shapes, floating type, one mask a sample, H and W multiples.

    Values are not read (that would wait for the device); files and arrays are checked where they enter.
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InpaintError(
            f"image of shape {tuple(image.shape)} and type {image.dtype}: expected "
            "a float tensor (N, 3, H, W) in [0, 1]"
        )
    if mask.shape != (image.shape[0], 1, *image.shape[2:]):
        raise InpaintError(
            f"mask of shape {tuple(mask.shape)} for an image of shape {tuple(image.shape)}: "
            f"expected ({image.shape[0]}, 1, {image.shape[2]}, {image.shape[3]}), 1 = missing"
        )
    if image.shape[2] % multiple or image.shape[3] % multiple:
        raise InpaintError(
            f"image of {image.shape[2]} x {image.shape[3]} px: this network needs multiples of {multiple}; "
            "extend image and mask by tensors.pad_to_multiple"
        )


def composite(image: Tensor, mask: Tensor, completed: Tensor) -> Tensor:
    """Completed pixels where the mask is 1, the image's own pixels elsewhere, bit for bit.

    The only composite of the package: training, evaluation and exported graphs all use it.
    """
    return torch.where(mask > 0.5, completed, image)


def pad_to_multiple(image: Tensor, mask: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Extend bottom and right to multiples of `multiple` by repeating the border.

    The mask is extended the same way, so a hole at the border stays a hole in the padding and no invented pixel
    counts as known. Undo with `crop_back`.
    """
    height, width = image.shape[2:]
    pad = (0, -width % multiple, 0, -height % multiple)
    if not any(pad):
        return image, mask
    return F.pad(image, pad, mode="replicate"), F.pad(mask, pad, mode="replicate")


def crop_back(padded: Tensor, height: int, width: int) -> Tensor:
    """The top left height x width pixels: undoes `pad_to_multiple`."""
    return padded[..., :height, :width]


def crop_at(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """One size x size crop from every sample, at its own place.

    `top` and `left` are (N,) integer tensors; crops must lie inside the images. Differentiable in the images.
    """
    rows = top[:, None] + torch.arange(size, device=images.device)
    columns = left[:, None] + torch.arange(size, device=images.device)
    n, channels = images.shape[:2]
    batch = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def crop_corner_on_hole(mask: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Top and left, each (N,), of a size x size crop on every sample's hole, clamped into the image.

    Holes whose common bounding box fits into the crop are centred. Where it does not fit (a wide hole, or several
    far apart) the crop is centred on a hole pixel drawn uniformly from `rng`, anew at every call. An empty mask
    counts as missing everywhere.
    """
    height, width = mask.shape[2:]
    if size > min(height, width):
        raise InpaintError(f"crop of {size} px from an image of {height} x {width}: the crop may not be larger")
    hole = mask[:, 0] > 0.5
    hole = hole | ~hole.flatten(1).any(1)[:, None, None]
    top, bottom = _first_and_last(hole.any(2))
    left, right = _first_and_last(hole.any(1))
    flat = hole.flatten(1).float().to(rng.device)
    drawn = torch.multinomial(flat, 1, generator=rng)[:, 0].to(mask.device)
    fits = (bottom - top < size) & (right - left < size)
    centre_row = torch.where(fits, (top + bottom + 1) // 2, torch.div(drawn, width, rounding_mode="floor"))
    centre_column = torch.where(fits, (left + right + 1) // 2, drawn % width)
    return (
        (centre_row - size // 2).clamp(0, height - size),
        (centre_column - size // 2).clamp(0, width - size),
    )


def _first_and_last(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last true index along the second axis of a boolean (N, L) tensor."""
    flags = occupied.int()
    return flags.argmax(1), occupied.shape[1] - 1 - flags.flip(1).argmax(1)

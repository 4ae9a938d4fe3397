"""Folding batch norms into convolutions changes the arithmetic, not the result."""

import pytest
import torch
from generator_contract import holed, stirred
from torch import nn

from inpaintkit.models import GENERATORS
from inpaintkit.models.layers import fold_batch_norms


def _kinds(module: nn.Module) -> set[type]:
    return {type(m) for m in module.modules()}


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Conv2d(3, 5, 3, bias=False),
        nn.Conv2d(3, 5, 3, stride=2, dilation=2, padding=2),
        nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1),
    ],
    ids=["plain", "without bias", "strided and dilated", "transposed"],
)
def test_a_folded_pair_gives_the_same_numbers(convolution):
    pair = stirred(nn.Sequential(convolution, nn.BatchNorm2d(5), nn.ReLU())).eval()
    folded = fold_batch_norms(pair)
    x = torch.randn(2, 3, 12, 14, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), pair(x), rtol=1e-5, atol=1e-5)
    assert nn.BatchNorm2d not in _kinds(folded)


@pytest.mark.parametrize(
    ("name", "arguments"), [("glcic", {"width": 8}), ("glcic", {"width": 8, "groups": 4}), ("unet", {"width": 8})]
)
def test_a_folded_generator_fills_the_same(name, arguments):
    generator = stirred(GENERATORS[name](**arguments)).eval()
    before = {key: tensor.clone() for key, tensor in generator.state_dict().items()}
    folded = fold_batch_norms(generator)
    image, mask = holed(2, 48, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(image, mask).image, generator(image, mask).image, rtol=0, atol=2e-5)
    assert nn.BatchNorm2d not in _kinds(folded)
    assert folded.size_multiple == generator.size_multiple
    assert all(torch.equal(generator.state_dict()[key], tensor) for key, tensor in before.items())


def test_the_copy_runs_as_in_filling_whatever_mode_it_was_taken_in():
    generator = stirred(GENERATORS["glcic"](width=8)).train()
    folded = fold_batch_norms(generator)
    assert generator.training  # it was copied, not switched
    image, mask = holed(2, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(folded(image, mask).image, generator.eval()(image, mask).image, rtol=0, atol=2e-5)


def test_a_batch_norm_that_follows_no_convolution_stays():
    network = stirred(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))).eval()
    folded = fold_batch_norms(network)
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), rtol=0, atol=1e-6)
    assert [type(m) for m in folded] == [type(m) for m in network]

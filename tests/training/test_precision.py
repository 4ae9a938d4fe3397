"""Mixed precision: convolutions in bfloat16, everything that goes in or comes out in float32, and slopes on the way."""

from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from inpaintkit.losses.adversarial import gradient_penalty
from inpaintkit.training.precision import Bfloat16Autocast


class _Notes(nn.Module):
    """A convolution that keeps what it was given, and answers in several kinds at once."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)
        self.given: list[Tensor] = []
        self.computed: list[torch.dtype] = []

    def forward(self, image: Tensor) -> dict[str, Any]:
        self.given.append(image)
        features = self.convolution(image)
        self.computed.append(features.dtype)
        return {"features": features, "pair": (features[:1], 3), "argmax": features.flatten(1).argmax(1)}


class _Critic(nn.Module):
    """Smooth, so that its slope has a slope."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.convolution(image)).mean((2, 3))


def _set_up(network: nn.Module) -> tuple[Fabric, nn.Module, Any]:
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[Bfloat16Autocast()])
    return fabric, *fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_networks_run_in_bfloat16_between_inputs_and_outputs_of_float32(image):
    notes = _Notes()
    _, network, _ = _set_up(notes)
    answer = network(image)
    assert torch.equal(notes.given[0], image)  # not rounded: masking and the like stay exact
    assert notes.given[0].dtype == torch.float32
    assert notes.computed == [torch.bfloat16]
    assert answer["features"].dtype == answer["pair"][0].dtype == torch.float32
    assert (answer["pair"][1], answer["argmax"].dtype) == (3, torch.int64)


def test_weights_and_their_gradients_stay_float32(image):
    notes = _Notes()
    fabric, network, _ = _set_up(notes)
    fabric.backward(network(image)["features"].square().mean())
    assert {p.dtype for p in notes.parameters()} == {p.grad.dtype for p in notes.parameters()} == {torch.float32}


def test_a_slope_may_be_asked_for_in_the_middle_of_a_loss(image):
    """A gradient penalty does so; Fabric's own bfloat16 refuses every backward that is not its own."""
    torch.manual_seed(0)
    critic = _Critic()
    weight = torch.ones(2, 1, 8, 8)

    def penalty(judge: nn.Module) -> Tensor:
        return gradient_penalty(judge, image, 1 - image, weight, torch.Generator().manual_seed(0))

    exact = penalty(critic)
    exact.backward()
    expected = critic.convolution.weight.grad.clone()
    critic.zero_grad()
    fabric, network, optimiser = _set_up(critic)
    mixed = penalty(network)
    assert mixed.item() == pytest.approx(exact.item(), rel=2e-2)
    fabric.backward(mixed)
    gradient = critic.convolution.weight.grad
    assert torch.linalg.vector_norm(gradient - expected) < 0.05 * torch.linalg.vector_norm(expected)
    optimiser.step()
    assert all(p.isfinite().all() for p in critic.parameters())


def test_nothing_is_autocast_outside_the_networks(image):
    _, network, _ = _set_up(_Notes())
    network(image)
    assert not torch.is_autocast_enabled("cpu")
    assert (image[0, 0] @ image[0, 0]).dtype == torch.float32

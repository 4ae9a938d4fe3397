"""What every generator promises, as tests to inherit: `class TestName(GeneratorContract)` with its name and numbers."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from inpaintkit.errors import InpaintError
from inpaintkit.models import GENERATORS, Completion
from inpaintkit.models.published import load_generator, save_generator
from inpaintkit.tensors import composite, crop_back, pad_to_multiple

SIZES = [(1, 1), (7, 64), (33, 47), (64, 40), (80, 17)]


def stirred(module: nn.Module, seed: int = 1) -> nn.Module:
    """Every weight and statistic moved off its initial value: zeros and identities of a fresh network hide nothing.

    Weights keep the size of what passes through them, so that it neither fades nor grows on its way down.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=rng)
            parameter.add_(noise * (1.5 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else noise * 0.1)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape, generator=rng) * 0.1)
            elif name.endswith("running_var"):
                buffer.mul_(torch.rand(buffer.shape, generator=rng) + 0.5)
    return module


def holed(n: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise (n, 3, height, width) and a rectangular hole a sample that leaves both known and missing pixels."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(n, 3, height, width, generator=rng)
    mask = torch.zeros(n, 1, height, width)
    for i in range(n):
        top, left = (int(torch.randint(0, max(1, side // 3), (), generator=rng)) for side in (height, width))
        mask[i, :, top : top + max(1, height // 2), left : left + max(1, width // 3)] = 1
    return image, mask


class GeneratorContract:
    """(image, mask) -> Completion, whatever the network."""

    name: ClassVar[str]
    arguments: ClassVar[dict[str, Any]]
    size_multiple: ClassVar[int]

    @pytest.fixture(scope="class")
    @classmethod
    def generator(cls) -> nn.Module:
        """A small instance in eval mode; tests that change it take one of their own by `make`."""
        return cls.make()

    @classmethod
    def make(cls) -> nn.Module:
        """A new small instance with stirred weights, in eval mode."""
        torch.manual_seed(0)
        return stirred(GENERATORS[cls.name](**cls.arguments)).eval()

    def test_it_says_which_sizes_it_takes(self, generator):
        assert generator.size_multiple == self.size_multiple

    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_odd_and_oblong_photos_come_back_whole(self, generator, height, width):
        image, mask = holed(2, height, width)
        padded, padded_mask = pad_to_multiple(image, mask, generator.size_multiple)
        with torch.inference_mode():
            completed = generator(padded, padded_mask).image
            result = composite(image, mask, crop_back(completed, height, width))
        assert completed.shape == padded.shape  # the raw output covers the whole frame
        assert completed.dtype == torch.float32
        assert result.shape == image.shape
        assert result.isfinite().all()
        known = (mask == 0).expand_as(image)
        assert torch.equal(result[known], image[known])

    def test_another_size_is_refused_with_the_multiple_it_needs(self, generator):
        image, mask = holed(1, 2 * self.size_multiple + 1, 3 * self.size_multiple)
        with pytest.raises(InpaintError, match=rf"multiples? of {self.size_multiple}\b"):
            generator(image, mask)

    def test_a_mask_of_another_shape_is_refused(self, generator):
        image, mask = holed(1, 32, 48)
        with pytest.raises(InpaintError, match=r"expected \(1, 1, 32, 48\)"):
            generator(image, mask.transpose(2, 3))

    @pytest.mark.parametrize("gain", [1.0, 100.0])
    def test_the_raw_output_lies_between_0_and_1(self, gain):
        generator = self.make()
        with torch.no_grad():
            list(generator.parameters())[-2].mul_(gain)  # the last layer's weight
        with torch.inference_mode():
            completed = generator(*holed(2, 48, 32)).image
        assert completed.min() >= 0
        assert completed.max() <= 1
        assert completed.std() > 0

    @pytest.mark.parametrize("missing", [0.0, 1.0], ids=["nothing missing", "all missing"])
    def test_empty_and_full_masks_give_finite_numbers(self, generator, missing):
        image, mask = holed(2, 48, 32)
        with torch.inference_mode():
            completed = generator(image, torch.full_like(mask, missing)).image
        assert completed.isfinite().all()

    def test_gradients_reach_every_parameter(self):
        generator = self.make().train()
        image, mask = holed(3, 48, 64)
        weight = torch.rand(image.shape, generator=torch.Generator().manual_seed(5))
        (generator(image, mask).image * weight).sum().backward()
        without = [
            name
            for name, parameter in generator.named_parameters()
            if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
        ]
        assert without == []

    def test_what_lies_under_the_mask_does_not_matter(self, generator):
        image, mask = holed(2, 48, 64)
        other = torch.where(mask > 0.5, 1 - image, image)
        with torch.inference_mode():
            first, second = generator(image, mask), generator(other, mask)
        assert torch.equal(first.image, second.image)
        assert (first.coarse is None) == (second.coarse is None)
        if first.coarse is not None:
            assert torch.equal(first.coarse, second.coarse)

    def test_what_is_known_does_matter_inside_the_hole(self, generator):
        image, mask = holed(2, 48, 64)
        other = torch.where(mask > 0.5, image, 1 - image)
        hole = (mask == 1).expand_as(image)
        with torch.inference_mode():
            difference = (generator(image, mask).image - generator(other, mask).image).abs()
        assert difference[hole].max() > 1e-4

    def test_samples_of_a_batch_do_not_see_each_other(self, generator):
        image, mask = holed(3, 48, 64)
        with torch.inference_mode():
            together = generator(image, mask).image
            alone = torch.cat([generator(image[i : i + 1], mask[i : i + 1]).image for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)  # kernels differ with the batch by rounding

    @pytest.mark.parametrize("mode", ["eval", "train"])
    def test_arguments_are_not_changed_in_place(self, mode):
        generator = self.make().train(mode == "train")
        image, mask = holed(2, 48, 64)
        before = image.clone(), mask.clone()
        generator(image, mask).image.detach().mul_(0)
        assert torch.equal(image, before[0])
        assert torch.equal(mask, before[1])

    def test_filling_draws_no_hidden_random_numbers_and_repeats_itself(self, generator):
        image, mask = holed(1, 48, 64)
        state = torch.get_rng_state()
        with torch.inference_mode():
            first, second = generator(image, mask).image, generator(image, mask).image
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)

    def test_half_width_arithmetic_stays_near(self, generator):
        image, mask = holed(2, 48, 64)
        with torch.inference_mode():
            exact = generator(image, mask).image
            with torch.autocast("cpu", torch.bfloat16):
                mixed = generator(image, mask).image.float()
            rounded = self.make().to(torch.bfloat16)(image, mask).image
        assert rounded.dtype == torch.float32
        assert (mixed - exact).abs().mean() < 0.02
        assert (rounded - exact).abs().mean() < 0.02

    def test_the_completion_is_an_image_and_perhaps_a_coarse_one(self, generator):
        with torch.inference_mode():
            completion = generator(*holed(1, 32, 48))
        assert isinstance(completion, Completion)
        assert completion.coarse is None or completion.coarse.shape == completion.image.shape

    # --- through a file ---

    def _saved(self, path: Path, *, half: bool) -> nn.Module:
        generator = self.make()
        description = {"model": self.name, "arguments": self.arguments, "step": 12, "licence": "none"}
        save_generator(path, generator.state_dict(), description, half=half)
        return generator

    def test_saved_and_loaded_it_is_the_same_network(self, tmp_path):
        generator = self._saved(tmp_path / "weights.safetensors", half=False)
        loaded, description = load_generator(tmp_path / "weights.safetensors")
        assert (description["step"], description["licence"]) == (12, "none")
        assert not loaded.training
        assert loaded.state_dict().keys() == generator.state_dict().keys()
        for name, tensor in generator.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name
        image, mask = holed(2, 48, 64)
        with torch.inference_mode():
            assert torch.equal(loaded(image, mask).image, generator(image, mask).image)

    def test_saved_in_half_precision_it_fills_alike(self, tmp_path):
        generator = self._saved(tmp_path / "weights.safetensors", half=True)
        loaded, _ = load_generator(tmp_path / "weights.safetensors")
        for name, tensor in generator.state_dict().items():
            there = loaded.state_dict()[name]
            assert there.dtype == tensor.dtype
            torch.testing.assert_close(there, tensor, rtol=1e-3, atol=1e-6)
        image, mask = holed(2, 48, 64)
        with torch.inference_mode():
            difference = (loaded(image, mask).image - generator(image, mask).image).abs()
        assert 0 < difference.max() < 0.02

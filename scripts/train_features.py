"""Train the project's own feature network: the layout of VGG19 up to relu4_2, as a classifier of labelled photos.

For those who have no ImageNet weights at hand, or may not use them: ID-MRF, patch matching and feature distances need
features that answer to texture, and a classifier of scenes, textures and objects has such features. It is trained with
batch normalisation, which is folded into the convolutions before the weights are saved.

    python scripts/train_features.py --data 'PHOTOS/train-*.tar' --validation PHOTOS/val.tar --labels labels.csv \
        --out RUN --time-limit 40

`labels.csv` has the columns key, split, source, label; a photo's key is its file name without suffix. The run is
resumed from RUN/state.pt if that is there. What is written: RUN/features.safetensors (half precision) and its card,
features.json (classes, accuracy, photos seen) and features.md beside it.
"""

import argparse
import csv
import hashlib
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintkit.data.photos import open_photos
from inpaintkit.features import BLOCKS, CONVOLUTIONS, IMAGENET_MEAN, IMAGENET_STD
from inpaintkit.models.layers import fold_batch_norms
from inpaintkit.models.published import save_generator

SIZES = ((0.0, 64), (0.6, 96), (0.92, 128))
"""From which share of the run on photos have which side in px: small ones first, because they are cheap."""


class Classifier(nn.Module):
    """The features with batch norm, and the head that is thrown away: one convolution at 1/16, mean, linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for name in CONVOLUTIONS:
            outside = BLOCKS[int(name[4]) - 1][1]
            if name.endswith("_1") and name != CONVOLUTIONS[0]:
                layers.append(nn.MaxPool2d(2))
            convolution = nn.Conv2d(inside, outside, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
            inside = outside
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(512, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU(inplace=True)
        )
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(256, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images (N, 3, H, W)."""
        return self.linear(self.dropout(self.head(self.features(image)).float().mean((2, 3))))

    def folded(self) -> dict[str, Tensor]:
        """The convolutions by VGG's names, batch norms folded in."""
        convolutions = [m for m in fold_batch_norms(self.features) if isinstance(m, nn.Conv2d)]
        tensors = {}
        for name, convolution in zip(CONVOLUTIONS, convolutions, strict=True):
            tensors |= {f"{name}.weight": convolution.weight.detach(), f"{name}.bias": convolution.bias.detach()}
        return tensors


def read_labels(path: Path) -> dict[str, str]:
    """Key to label, for the photos that have one."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["key"]: row["label"] for row in csv.DictReader(file) if row["label"]}


class LabelledPhotos:
    """The photos of a set that carry a label, as square crops."""

    def __init__(self, source: str, labels: dict[str, str], classes: list[str]) -> None:
        self.photos = open_photos(source, short_side=160)
        stems = [Path(file.name).stem for file in self.photos.files]
        known = [labels.get(stem, labels.get(stem.rpartition("-")[0], "")) for stem in stems]
        self.entries = [(i, classes.index(label)) for i, label in enumerate(known) if label in classes]

    def training_crop(self, entry: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """A random crop of random scale and shape, mirrored, its light, contrast and colour changed, a part erased."""
        index, label = self.entries[entry]
        photo = self.photos[index]
        height, width = photo.shape[:2]
        area = height * width * rng.uniform(0.2, 1.0)
        shape = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        h, w = min(height, round(math.sqrt(area / shape))), min(width, round(math.sqrt(area * shape)))
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        crop = cv2.resize(photo[top : top + h, left : left + w], (size, size), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        picture = crop.astype(np.float32) / 255
        picture = picture * rng.uniform(0.7, 1.3) + rng.uniform(-0.08, 0.08)
        grey = picture @ np.float32([0.299, 0.587, 0.114])
        colourful = 0.0 if rng.random() < 0.1 else rng.uniform(0.5, 1.5)
        picture = grey[..., None] + colourful * (picture - grey[..., None])
        picture = grey.mean() + rng.uniform(0.7, 1.3) * (picture - grey.mean())
        if rng.random() < 0.25:
            side = rng.integers(size // 8, size // 2, 2)
            y, x = rng.integers(size - side[0]), rng.integers(size - side[1])
            picture[y : y + side[0], x : x + side[1]] = rng.random(3)
        return np.clip(picture, 0, 1).astype(np.float32), label

    def validation_crop(self, entry: int, size: int) -> tuple[np.ndarray, int]:
        """The centre square."""
        index, label = self.entries[entry]
        photo = self.photos[index]
        side = min(photo.shape[:2])
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        crop = photo[top : top + side, left : left + side]
        return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255, label


def as_input(pictures: list[np.ndarray]) -> Tensor:
    """Normalised images (N, 3, H, W) in the channels-last layout."""
    image = torch.from_numpy((np.stack(pictures) - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)).permute(
        0, 3, 1, 2
    )
    return image.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(model: Classifier, photos: LabelledPhotos, size: int) -> float:
    """Share of validation photos whose class is named right, from the centre crop and its mirror image."""
    model.eval()
    right = 0
    for first in range(0, len(photos.entries), 32):
        crops = [photos.validation_crop(i, size) for i in range(first, min(first + 32, len(photos.entries)))]
        image = as_input([c[0] for c in crops])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(image) + model(image.flip(3))
        right += int((logits.argmax(1) == torch.tensor([c[1] for c in crops])).sum())
    return right / len(photos.entries)


def card(facts: dict) -> str:
    """The card of trained weights, in Markdown."""
    classes = facts["classes"]
    sizes = ", ".join(str(size) for _, size in SIZES)
    right = f"{100 * facts['validation_accuracy']:.1f} % of {facts['validation_photos']} photos"
    return f"""# features

The convolutions of VGG19 from conv1_1 to conv4_2 (5,865,536 parameters, half precision), trained from nothing by this
project as a classifier of labelled photos. Batch normalisation was folded into the convolutions. They serve ID-MRF,
patch matching and feature distances where there are no ImageNet weights; numbers measured with them are comparable with
each other, not with numbers measured on ImageNet features.

| | |
|---|---|
| terms | trained on research-only photos: for research and other non-commercial use (licenses/WEIGHTS.md) |
| input | RGB in [0, 1], less ImageNet's mean, over ImageNet's deviation |
| photos | {facts["training_photos"]:,} with labels, {facts["photos_seen"]:,} seen in all, crops of {sizes} px in turn |
| hardware | {facts["hardware"]}; {facts["minutes"]:.0f} minutes, bfloat16, seed {facts["seed"]} |
| validation | {right} get the right one of {len(classes)} labels |
| made by | `python scripts/train_features.py --data SHARDS --validation VAL --labels LABELS --out RUN` |
| SHA-256 | `{facts["sha256"]["features.safetensors"]}` |

Validation photos were never trained on; a photo counts by its centre crop and the mirror image of it, at 128 px. That
is far from what networks trained on ImageNet reach: the labels are few and so are the photos.

Labels: {", ".join(name.replace("_", " ") for name in classes)}.
"""


def describe(out: Path, facts: dict) -> None:
    """Write facts and card beside the weights they are about."""
    digest = hashlib.sha256((out / "features.safetensors").read_bytes()).hexdigest()
    facts = facts | {"sha256": {"features.safetensors": digest}}
    (out / "features.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out / "features.md").write_text(card(facts), encoding="utf-8")


def size_at(share: float) -> int:
    """Side of the crops at this share of the run."""
    return next(size for start, size in reversed(SIZES) if share >= start)


def main() -> None:
    """Trains for a number of minutes; the learning rate follows the clock, so the run always ends annealed."""
    arguments = parse()
    labels = read_labels(arguments.labels)
    classes = sorted(set(labels.values()))
    train = LabelledPhotos(arguments.data, labels, classes)
    validation = LabelledPhotos(arguments.validation, labels, classes)
    print(f"{len(train.entries)} training and {len(validation.entries)} validation photos, {len(classes)} classes")
    torch.manual_seed(arguments.seed)
    cv2.setNumThreads(1)
    model = Classifier(len(classes)).to(memory_format=torch.channels_last)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    kept = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": kept, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=arguments.lr, momentum=0.9, nesterov=True)
    step, spent_s = 0, 0.0
    arguments.out.mkdir(parents=True, exist_ok=True)
    state = arguments.out / "state.pt"
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent_s = saved["step"], saved["spent_s"]
    step, spent_s = fit(arguments, model, optimiser, train, validation, step, spent_s)
    top1 = accuracy(model, validation, 128)
    facts = {
        "classes": classes,
        "training_photos": len(train.entries),
        "validation_photos": len(validation.entries),
        "validation_accuracy": round(top1, 4),
        "photos_seen": step * arguments.batch,
        "minutes": round(spent_s / 60, 1),
        "seed": arguments.seed,
        "hardware": arguments.hardware,
    }
    description = {"model": "vgg19 features to relu4_2", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, **facts}
    save_generator(arguments.out / "features.safetensors", model.folded(), description, half=True)
    describe(arguments.out, facts)
    print(f"accuracy {top1:.3f} after {step * arguments.batch} photos")


def fit(
    arguments: argparse.Namespace,
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    train: LabelledPhotos,
    validation: LabelledPhotos,
    step: int,
    spent_s: float,
) -> tuple[int, float]:
    """The training itself; returns steps and seconds in all."""
    limit_s = 60 * arguments.time_limit
    saved_at = spent_s
    batches = Batches(train, arguments.batch, arguments.seed)
    with ThreadPoolExecutor(2) as pool:
        ahead = [pool.submit(batches.batch, step + i, size_at(spent_s / limit_s)) for i in range(3)]
        while spent_s < limit_s:
            began = time.monotonic()
            image, label = ahead.pop(0).result()
            share = spent_s / limit_s
            ahead.append(pool.submit(batches.batch, step + 3, size_at(share)))
            warm = min(1.0, step / 100)
            for group in optimiser.param_groups:
                group["lr"] = arguments.lr * warm * 0.5 * (1 + math.cos(math.pi * share))
            model.train()
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(image)
            loss = F.cross_entropy(logits.float(), label, label_smoothing=0.1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            step += 1
            if step % 25 == 0:
                speed = arguments.batch / (time.monotonic() - began)
                print(
                    f"step {step} loss {float(loss.detach()):.3f} size {image.shape[2]} {speed:.0f} photos/s",
                    flush=True,
                )
            spent_s += time.monotonic() - began
            if spent_s - saved_at > 240:
                saved_at = spent_s
                print(f"{spent_s / 60:.1f} min: accuracy {accuracy(model, validation, 128):.3f}", flush=True)
                save_state(arguments.out, model, optimiser, step, spent_s)
    save_state(arguments.out, model, optimiser, step, spent_s)
    return step, spent_s


def save_state(out: Path, model: Classifier, optimiser: torch.optim.Optimizer, step: int, spent_s: float) -> None:
    """Write what a resumed run needs, whole or not at all."""
    partial = out / ".state.pt.partial"
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent_s": spent_s}
    torch.save(state, partial)
    partial.replace(out / "state.pt")


class Batches:
    """Seeded batches by number: every photo once an epoch."""

    def __init__(self, photos: LabelledPhotos, batch: int, seed: int) -> None:
        self.photos, self.size, self.seed = photos, batch, seed

    def batch(self, number: int, side: int) -> tuple[Tensor, Tensor]:
        """Batch `number` as images (N, 3, side, side) and class numbers (N,)."""
        crops = []
        for sample in range(number * self.size, (number + 1) * self.size):
            epoch, place = divmod(sample, len(self.photos.entries))
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.photos.entries))
            crops.append(
                self.photos.training_crop(int(order[place]), side, np.random.default_rng([self.seed, 1, sample]))
            )
        return as_input([c[0] for c in crops]), torch.tensor([c[1] for c in crops])


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="training photos: folder, list or tar shards")
    parser.add_argument("--validation", required=True, help="photos for the accuracy, never trained on")
    parser.add_argument("--labels", required=True, type=Path, help="CSV with key, split, source, label")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--time-limit", type=float, default=40.0, help="minutes of training in all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hardware", default="CPU", help="what the card says it was trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()

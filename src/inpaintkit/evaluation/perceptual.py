"""Which networks measure a comparison beside the plain metrics, and what is said of those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .methods import Hole, Pixels
from .metrics import Metric

if TYPE_CHECKING:
    from .metrics.distribution import InceptionFeatures


class PerceptualMetric(Protocol):
    """A network that measures a composite against its photo."""

    metrics: tuple[Metric, ...]
    source: str

    def __call__(self, truth: Pixels, filled: Pixels, hole: Hole) -> dict[str, float]:
        """Its metrics of one composite."""
        ...


@dataclass(frozen=True)
class PerceptualWeights:
    """The weights of each network, as --features, --lpips and --inception take them; None: not asked for."""

    features: str | None = None
    lpips: str | None = None
    inception: str | None = None

    def opened(self) -> list[PerceptualMetric]:
        """The networks that measure single composites, ready. Raises ModelError for weights that cannot be used."""
        opened: list[PerceptualMetric] = []
        if self.features is not None:
            from .metrics.features import FeatureDistance

            opened.append(FeatureDistance(self.features))
        if self.lpips is not None:
            from .metrics.lpips import Lpips

            opened.append(Lpips(self.lpips))
        return opened

    def open_inception(self) -> "InceptionFeatures | None":
        """What FID and KID are computed from: a picture to its 2,048 features."""
        if self.inception is None:
            return None
        from .metrics.distribution import InceptionFeatures

        return InceptionFeatures(self.inception)

    def sources(self, opened: Sequence[PerceptualMetric], inception: "InceptionFeatures | None") -> tuple[str, ...]:
        """Which weights the opened networks have."""
        return tuple(each.source for each in opened) + ((inception.source,) if inception is not None else ())

    def absent(self) -> list[dict[str, str]]:
        """The metrics that are not measured, each with the reason."""
        missing = []
        for name, weights, option in (
            ("feature distance, texture", self.features, "--features own, imagenet or FILE"),
            ("LPIPS", self.lpips, "--lpips FILE, download or download-vgg16"),
            ("FID, KID", self.inception, "--inception FILE or download"),
        ):
            if weights is None:
                missing.append({"metric": name, "why": f"no weights were given ({option})"})
        return missing

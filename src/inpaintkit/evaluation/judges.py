"""Which networks judge a comparison beside the plain metrics, and what is said of those that do not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .methods import Hole, Pixels
from .metrics import Metric

if TYPE_CHECKING:
    from .metrics.distribution import InceptionFeatures


class Judge(Protocol):
    """A network that measures a composite against its photo."""

    metrics: tuple[Metric, ...]
    source: str

    def __call__(self, truth: Pixels, filled: Pixels, hole: Hole) -> dict[str, float]:
        """Its metrics of one composite."""
        ...


@dataclass(frozen=True)
class Judges:
    """The weights of each judge, as --features, --lpips and --inception take them; None: not asked for."""

    features: str | None = None
    lpips: str | None = None
    inception: str | None = None

    def opened(self) -> list[Judge]:
        """The judges of single composites, ready. Raises ModelError for weights that cannot be used."""
        judges: list[Judge] = []
        if self.features is not None:
            from .metrics.features import FeatureJudge

            judges.append(FeatureJudge(self.features))
        if self.lpips is not None:
            from .metrics.perceptual import LpipsJudge

            judges.append(LpipsJudge(self.lpips))
        return judges

    def open_inception(self) -> "InceptionFeatures | None":
        """What FID and KID are computed from: a picture to its 2,048 features."""
        if self.inception is None:
            return None
        from .metrics.distribution import InceptionFeatures

        return InceptionFeatures(self.inception)

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

"""Mark what is missing in a photo and get the photo back whole.

The light API is two names: `fill(image, mask)` and `Inpainter`, which keeps its model open between photos. Both are
loaded on first use, so that `import inpaintkit` costs nothing; neither needs PyTorch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .filling.inpainter import Inpainter, fill

__version__ = "0.1.0"
__all__ = ["Inpainter", "__version__", "fill"]


def __getattr__(name: str) -> Any:
    """Load `fill` or `Inpainter` when it is first asked for."""
    if name in ("fill", "Inpainter"):
        from .filling import inpainter

        return getattr(inpainter, name)
    raise AttributeError(f"module 'inpaintkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, the lazy ones included."""
    return sorted({*globals(), *__all__})

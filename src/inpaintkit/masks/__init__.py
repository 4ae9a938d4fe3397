"""Masks: which pixels of a photo are missing. Read from files and arrays, grown, or drawn at random. True = missing."""

from .grow import grow_mask, grown_px, growth_of
from .read import as_mask, decode_mask, read_mask
from .shapes import SHAPES, shape_named

__all__ = ["SHAPES", "as_mask", "decode_mask", "grow_mask", "grown_px", "growth_of", "read_mask", "shape_named"]

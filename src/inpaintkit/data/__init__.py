"""Training data: folders, file lists and tar shards of photos to seeded batches of image and mask."""

from .photos import Photos, open_photos
from .samples import BatchStream, SampleSettings

__all__ = ["BatchStream", "Photos", "SampleSettings", "open_photos"]

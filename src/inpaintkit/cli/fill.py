"""`inpaintkit fill`: photos and masks, whole photos."""

import inspect
from typing import Any

from .fill_options import Given, check_given


def command(**given: Any) -> int:
    """Fill the missing part of a photo, or of many.

    Every pixel outside the mask stays as it is; profile, EXIF, alpha, bit depth and resolution are kept.
    """
    order = Given(**given)
    check_given(order)
    if order.is_many:
        from .fill_many import fill_many

        return fill_many(order)
    from .fill_one import fill_one

    return fill_one(order)


command.__signature__ = inspect.signature(Given)  # type: ignore[attr-defined]  # its fields are the options

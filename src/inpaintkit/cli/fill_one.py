"""One photo from the command line: read it and its mask, fill it, write it, and say so."""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import PhotoError, UsageError
from . import printable, tell
from .fill_options import Given, given_boxes, mask_kind
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..filling.inpainter import FillReport, Inpainter
    from ..filling.regions import BoolArray, FillPlan
    from ..masks.sources import FoundMask
    from ..photo import Photo

Facts = dict[str, Any]


@dataclass(frozen=True)
class _Source:
    """A photo as it was read, the bytes of its file, what is missing in it, and how long that took."""

    photo: "Photo"
    content: bytes
    found: "FoundMask"
    seconds: float


def fill_one(given: Given) -> int:
    """Fill one photo as it was asked for and print what was done. Returns the exit status."""
    from ..photo import check_format

    format = _output_format(given)
    outputs = _outputs(given)
    inpainter = open_inpainter(given)
    source = _read(given)
    if format == "KEEP":
        format = _kept_format(given, source.photo)
    if format is not None:
        opaque = _opaque(source.photo, source.found, inpainter)
        check_format(opaque, format, quality=given.quality, subsampling=given.subsampling)
    facts: Facts = {"photo": str(given.photo), "mask": given.mask, "boxes": given.boxes or []}
    if given.explain or given.dry_run:
        facts |= _explain(given, inpainter, source)
    if given.dry_run:
        facts |= {"notes": list(source.found.notes)}
        _print(given, facts, ["nothing was filled (--dry-run)"])
    elif given.variants is not None and source.found.mask.any():
        assert format is not None
        _offer(given, inpainter, source, outputs, format, facts)
    else:
        assert format is not None
        _fill(given, inpainter, source, outputs[0], format, facts)
    return 0


def open_inpainter(given: Given) -> "Inpainter":
    """The Inpainter that was asked for. Raises UsageError and ModelError."""
    from ..filling.inpainter import Inpainter

    inpainter = Inpainter(
        given.model,
        given.engine,
        precision=given.precision,
        grow=given.grow,
        postprocess=given.postprocess,
        detail=given.detail,
        grain=given.grain,
        memory=given.memory,
        seed=given.seed,
        threads=given.threads,
    )
    if inpainter.engine.runtime == "torch":
        from ..models.runtime import keep_freed_memory

        keep_freed_memory()
    return inpainter


def _output_format(given: Given) -> str | None:
    """The format to write by --format or the output's suffix, "KEEP", or None where nothing is written.

    Raises UsageError where the two differ, or for a quality that the format does not have.
    """
    from ..photo import SUFFIXES, check_output

    if given.output is None:
        return None
    wanted = given.format.upper() if given.format else None
    suffixed = SUFFIXES.get(given.output.suffix.lower())
    if wanted == "KEEP":
        check_output(given.output, force=True, format="PNG")
        return "KEEP"
    chosen = check_output(given.output, force=True, format=wanted)
    if wanted is not None and suffixed not in (None, chosen):
        raise UsageError(
            f"output '{given.output}' is {suffixed} by its suffix and --format says {chosen}: leave out --format, or "
            "rename the output"
        )
    check_quality(given, chosen)
    return chosen


def check_quality(given: Given, format: str) -> None:
    """Refuse --quality and --subsampling for a format that has none. Raises UsageError."""
    for option, value, without in (
        ("--quality", given.quality, ("PNG", "TIFF")),
        ("--subsampling", given.subsampling, ("PNG", "TIFF", "WEBP")),
    ):
        if value is not None and format in without:
            raise UsageError(f"{option} means nothing to {format}, in which the output is written: leave it out")


def _kept_format(given: Given, photo: "Photo") -> str | None:
    """The photo's own format for --format keep. Raises UsageError where the output's suffix says another."""
    from ..photo import SUFFIXES

    if given.output is None:
        return None
    suffixed = SUFFIXES.get(given.output.suffix.lower())
    if suffixed not in (None, photo.format):
        raise UsageError(
            f"output '{given.output}' is {suffixed} by its suffix and --format keep means {photo.format}, as the photo "
            "is: rename the output, or leave out --format"
        )
    check_quality(given, photo.format)
    return photo.format


def _outputs(given: Given) -> list[Path]:
    """Every photo file that will be written. Raises UsageError for one that exists, unless --force."""
    from ..photo import check_output

    outputs: list[Path] = []
    if given.output is not None and not given.dry_run:
        outputs = [given.output]
        if given.variants is not None:
            stem, suffix = given.output.stem, given.output.suffix
            outputs = [given.output.with_name(f"{stem}-{number}{suffix}") for number in range(1, given.variants + 1)]
    if given.explain is not None:
        check_output(given.explain, force=True)
    _check_apart(given, outputs)
    for path in [*outputs, *([given.explain] if given.explain else [])]:
        if path.exists() and not given.force:
            raise UsageError(f"output '{path}' exists: name another file, or overwrite it with --force")
    return outputs


def _check_apart(given: Given, outputs: list[Path]) -> None:
    """Refuse to write over the mask, or two pictures to one file, even with --force; the photo may be replaced.

    Raises UsageError.
    """
    masks = [Path(given.mask)] if given.mask is not None and mask_kind(given.mask) == "path" else []
    for number, path in enumerate(outputs):
        if any(_same_file(path, mask) for mask in masks):
            raise UsageError(f"output '{path}' is the mask, which would be lost: name another file")
        if any(_same_file(path, other) for other in outputs[:number]):
            raise UsageError(f"output '{path}' is another output as well, by a link: name another file")
    if given.explain is not None and any(_same_file(given.explain, other) for other in (given.photo, *masks, *outputs)):
        raise UsageError(f"--explain '{given.explain}' is another file of this call: name another one for it")


def _same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file, there already or yet to be written."""
    with suppress(OSError, ValueError):
        return one.samefile(other)
    with suppress(OSError, ValueError, RuntimeError):  # a loop of links is a RuntimeError in older versions of Python
        return os.path.normcase(one.resolve()) == os.path.normcase(other.resolve())
    return one == other


def _read(given: Given) -> _Source:
    """The photo and what is missing in it."""
    from ..filling.budget import check_photo
    from ..filling.memory import parse_memory
    from ..masks.sources import find_mask
    from ..photo import decode_photo, encoded_size, read_bytes

    started = time.perf_counter()
    content = read_bytes(given.photo)  # once, because what comes through a pipe cannot be read again
    if given.memory is not None:
        check_photo(parse_memory(given.memory), encoded_size(content, source=str(given.photo)))
    photo = replace(decode_photo(content, source=str(given.photo)), source=given.photo)
    found = find_mask(
        photo,
        given.mask,
        boxes=given_boxes(given),
        invert=given.invert,
        tolerance=given.tolerance,
        labels=tuple(given.labels or ()),
        resize=True,
    )
    return _Source(photo, content, found, time.perf_counter() - started)


def _explain(given: Given, inpainter: "Inpainter", source: _Source) -> Facts:
    """Draw the plan where a picture of it is wanted, and print it for a person."""
    from ..filling.explain import draw_plan
    from ..photo import Photo, write_photo

    plan = inpainter.plan(source.found.mask)
    if given.explain is not None:
        write_photo(Photo(draw_plan(source.photo.pixels, source.found.mask, plan)), given.explain, force=given.force)
    if given.tells:
        typer.echo(str(plan))
    return {"explained": None if given.explain is None else str(given.explain), "plan": _listed(plan)}


def _listed(plan: "FillPlan") -> Facts:
    """A plan for programs."""
    regions = [
        {
            "top": region.top,
            "left": region.left,
            "height": region.height,
            "width": region.width,
            "shrink": round(region.shrink, 4),
            "wave": wave + 1,
            "hole_pixels": region.hole_pixels,
        }
        for region, wave in zip(plan.regions, plan.waves, strict=True)
    ]
    return {
        "height": plan.height,
        "width": plan.width,
        "working_size": plan.working_size,
        "hole_pixels": plan.hole_pixels,
        "regions": regions,
    }


def _fill(given: Given, inpainter: "Inpainter", source: _Source, output: Path, format: str, facts: Facts) -> None:
    """Fill the photo once, write it and say so."""
    from ..photo import encode_photo, write_bytes, write_notes

    with ProgressBar(f"filling {printable(given.photo.name)}", wanted=given.tells) as bar:
        whole, report = inpainter.fill_photo_reported(source.photo, source.found.mask, progress=bar, in_place=True)
    started = time.perf_counter()
    whole = _opaque(whole, source.found, inpainter)
    unchanged = report.hole_pixels == 0 and given.quality is None and given.subsampling is None
    if unchanged and source.photo.format == format:
        write_bytes(source.content, output)
        notes = list(source.found.notes)
    else:
        content = encode_photo(whole, format, quality=given.quality, subsampling=given.subsampling)
        write_bytes(content, output)
        changed = write_notes(whole, format, subsampling=given.subsampling)
        notes = [*source.found.notes, *whole.notes, *changed]
    facts |= {
        "output": str(output),
        **_reported(given, inpainter, report, source.found.mask),
        "precision": inpainter.engine.describe().get("precision"),
        "read_seconds": round(source.seconds, 3),
        "write_seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    if given.variants is not None:  # of an empty mask, which comes here
        facts["variants"] = [{"output": str(output), "score": None, "how": "the mask is empty"}]
    _print(given, facts, [_done(facts)])


def _offer(
    given: Given, inpainter: "Inpainter", source: _Source, outputs: list[Path], format: str, facts: Facts
) -> None:
    """Fill the photo in several ways, write them best first and say how each was made."""
    from ..photo import encode_photo, write_notes

    started = time.perf_counter()
    with ProgressBar(f"filling {printable(given.photo.name)} {len(outputs)} times", wanted=given.tells) as bar:
        variants = inpainter.variants(source.photo, source.found.mask, len(outputs), progress=bar)
    seconds = time.perf_counter() - started
    photos = [_opaque(each.result, source.found, inpainter) for each in variants]
    contents = [encode_photo(each, format, quality=given.quality, subsampling=given.subsampling) for each in photos]
    write_all(contents, outputs[: len(contents)])
    changed = write_notes(photos[0], format, subsampling=given.subsampling)
    notes = [*source.found.notes, *photos[0].notes, *changed]
    if len(variants) < len(outputs):
        ways = "is only 1 way" if len(variants) == 1 else f"are only {len(variants)} different ways"
        notes.append(f"there {ways} to fill this photo with these options")
    facts |= {
        "model": inpainter.engine.name,
        "engine": inpainter.engine.runtime,
        "precision": inpainter.engine.describe().get("precision"),
        "variants": [
            {"output": str(path), "score": round(float(each.score), 4), "how": each.how}
            for path, each in zip(outputs, variants, strict=False)
        ],
        "unchanged": False,
        "fill_seconds": round(seconds, 3),
        "notes": notes,
    }
    lines = [
        f"wrote {printable(each['output'])}: score {each['score']:.3f}, {printable(each['how'])}"
        for each in facts["variants"]
    ]
    _print(given, facts, [*lines, f"best first, in {seconds:.2f} s"])


def write_all(contents: list[bytes], paths: list[Path]) -> None:
    """Write several files, or none of those that were not there before. Raises PhotoError."""
    from ..photo import write_bytes

    new = [path for path in paths if not path.exists()]
    try:
        for content, path in zip(contents, paths, strict=True):
            write_bytes(content, path)
    except (PhotoError, KeyboardInterrupt):
        for path in new:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _opaque(photo: "Photo", found: "FoundMask", inpainter: "Inpainter") -> "Photo":
    """With --mask alpha, what was transparent, and what it grew by, shows what it was filled with."""
    from ..masks.grow import grow_mask

    return photo.opaque_where(grow_mask(found.mask, inpainter.grow)) if found.opaque else photo


def _reported(given: Given, inpainter: "Inpainter", report: "FillReport", mask: "BoolArray") -> Facts:
    """What the fill did, for programs."""
    from ..masks.grow import grown_px

    return {
        "model": report.model,
        "engine": report.runtime,
        "height": report.height,
        "width": report.width,
        "hole_pixels": report.hole_pixels,
        "hole_ratio": round(report.hole_ratio, 6),
        "regions": report.regions,
        "unchanged": report.hole_pixels == 0,
        "grow": given.grow,
        "grown": list(grown_px(mask, given.grow)),
        "grown_pixels": report.grown_pixels,
        "detail": given.detail,
        "detailed_regions": report.detailed,
        "grain": given.grain,
        "seed": given.seed,
        "memory": inpainter.memory,
        "fill_seconds": round(report.seconds, 3),
    }


def _done(facts: Facts) -> str:
    """One line for a person."""
    output = printable(facts["output"])
    if facts["unchanged"]:
        return f"wrote {output}: the mask is empty, the photo is unchanged"
    low, high = facts["grown"]
    grown = "" if high == 0 else f", grown by {high} px," if low == high else f", grown by {low} to {high} px,"
    return (
        f"wrote {output}: {100 * facts['hole_ratio']:.2g} % of {facts['width']} x {facts['height']} pixels{grown} "
        f"filled by {printable(facts['model'])} in {facts['fill_seconds']:.2f} s"
    )


def _print(given: Given, facts: Facts, lines: list[str]) -> None:
    """One JSON object for a program, or lines for a person; conversions go to standard error."""
    written = [each["output"] for each in facts.get("variants", [facts])] if not given.dry_run else []
    done = (
        f"{' and '.join(written)} {'is' if len(written) == 1 else 'are'} written" if written else "nothing was filled"
    )
    if given.as_json:
        tell([json.dumps(facts)], done)
    elif not given.quiet:
        for note in facts["notes"]:
            typer.echo(f"note: {printable(note)}", err=True)
        tell(lines, done)

"""Protocols: their masks and metrics exist, and the page says what they are."""

from pathlib import Path

from inpaintkit.evaluation.metrics.metric import METRICS
from inpaintkit.evaluation.protocols import PROTOCOLS
from inpaintkit.masks.benchmark import MASK_SETS, draw_set

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocols.md"


def test_protocols_name_what_exists():
    assert set(PROTOCOLS) == {"article", "removal"}
    for name, protocol in PROTOCOLS.items():
        assert name == protocol.name
        assert set(protocol.headline) <= set(METRICS)
        assert set(protocol.groups.values()) <= {*MASK_SETS, "removal"}
        assert "\n" not in protocol.description
        assert "  " not in protocol.description


def test_the_article_measures_a_quarter_of_256_pixels():
    article = PROTOCOLS["article"]
    assert (article.size, article.headline) == (256, ("psnr", "ssim"))
    assert article.groups == {"centre 128": "centre_256", "random 128": "random_256"}
    for masks in article.groups.values():
        for _, mask in draw_set(masks):
            assert mask.shape == (256, 256)
            assert mask.sum() == 128 * 128


def test_the_articles_test_sets_are_listed():
    lists = {each.data_set: each.photos for each in PROTOCOLS["article"].photo_lists}
    assert lists == {"Paris StreetView": 100, "ImageNet": 200, "Places2": 2000, "CelebA": None, "CelebA-HQ": 2000}
    folders = [each.folder for each in PROTOCOLS["article"].photo_lists]
    assert len(set(folders)) == 5
    assert all(each.told and each.not_known and each.put_there for each in PROTOCOLS["article"].photo_lists)


def test_the_page_repeats_the_code():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    for protocol in PROTOCOLS.values():
        assert protocol.description in text
        for each in protocol.photo_lists:
            count = "not known" if each.photos is None else f"{each.photos:,}"
            row = (
                f"| `{each.folder}/` | {each.data_set} | {count} | {each.put_there} | {each.told} | {each.not_known} |"
            )
            assert row in text

"""Where the picture of a page is looked for, what two books could both mean, and what is never opened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft import formats
from sft.errors import RowRejected
from sft.formats import Item, Picture, Reject, SourceOptions
from sft.formats.shared import page_images

PAGES = {
    "page-xml": (
        '<PcGts><Page imageFilename="{}"><TextRegion><TextLine id="l"><Coords points="1,1 9,1 9,9 1,9"/>'
        "<TextEquiv><Unicode>{}</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"
    ),
    "alto": (
        "<alto><Description><sourceImageInformation><fileName>{}</fileName></sourceImageInformation></Description>"
        '<Layout><Page><TextLine ID="l" HPOS="1" VPOS="1" WIDTH="9" HEIGHT="9"><String CONTENT="{}"/></TextLine>'
        "</Page></Layout></alto>"
    ),
    "hocr": (
        "<html><body><div class='ocr_page' title='image \"{}\"'><span class='ocr_line' title='bbox 1 1 9 9'>{}</span>"
        "</div></body></html>"
    ),
}
SUFFIX = {"page-xml": ".xml", "alto": ".xml", "hocr": ".hocr"}


def tree(root: Path, *files: str) -> None:
    """Empty files; what is in a picture does not matter here."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def book(root: Path, document: str, image: str, name: str = "page-xml") -> Path:
    """A document that names an image; its text is its own path."""
    path = root / (document + SUFFIX[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGES[name].format(image, document), "utf-8")
    return path


def pairs(source: Path, name: str = "page-xml", **given: Any) -> dict[str, Path | str | None]:
    """Text of a document → its picture, or why there is none; a picture that is not there is None."""
    found, options = formats.get(name), SourceOptions(**given)
    paired: dict[str, Path | str | None] = {}
    for unit in found.units(source, options):
        for read in found.read(unit, options):
            if isinstance(read, Item):
                path = read.picture.path
                paired[read.target] = path if path and path.is_file() else None
            elif isinstance(read, Reject):
                paired[read.where.rpartition(".")[0]] = f"{read.code}: {read.message}"
    return paired


PLACES = [
    ("mets.xml GT/p1", "IMG/p1.png", "IMG/p1.png"),
    ("mets.xml GT/deep/p1", "IMG/p1.png", "IMG/p1.png"),
    ("mets.xml GT/p1", "./IMG/p1.png", "IMG/p1.png"),
    ("mets.xml GT/p1", "IMG\\p1.png", "IMG/p1.png"),
    ("mets.xml GT/p1", "file://IMG/p1.png", "p1.png"),
    ("mets.xml GT/p1", "my%20img/p1.png", "my img/p1.png"),
    ("mets.xml GT/p1", "/home/else/IMG/p1.png", "IMG/p1.png"),
    ("mets.xml GT/p1", "C:\\scans\\IMG\\p1.png", "IMG/p1.png"),
    ("mets.xml GT/p1", "IMG/p1.tif", "IMG/p1.png"),
    ("mets.xml page/p1", "p1.png", "p1.png"),
    ("GT/p1", "../jpg/p1.png", "jpg/p1.png"),
    ("a/GT/p1", "../../jpg/p1.png", "jpg/p1.png"),
    ("GT/p1", "..\\jpg\\p1.png", "jpg/p1.png"),
    ("GT/p1", "../jpg/p1.jp2", "jpg/p1.png"),
    ("p1", "p1.png", "p1.png"),
    ("p1", "IMG/p1.png", "IMG/p1.png"),
    ("p1", "/gone/p1.png", "p1.png"),
    ("p1", "", "p1.png"),
    ("alto/p1", "p1.png", "p1.png"),
    ("GT/p1", "IMG/p1.png", None),
    ("mets.xml a/b/c/d/p1", "IMG/p1.png", None),
]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("files", "written", "expected"), PLACES)
def test_paths_of_a_document(files: str, written: str, expected: str | None, name: str, tmp_path: Path) -> None:
    *others, document = files.split()
    tree(tmp_path, *others, *([expected] if expected else ["IMG/p1.png"]))
    source = book(tmp_path, document, written, name)
    wanted = tmp_path / expected if expected else None
    assert pairs(tmp_path, name) == pairs(source, name) == {document: wanted}


def test_absolute_paths_are_followed(tmp_path: Path) -> None:
    tree(tmp_path, "far/scan.png", "books/scan.png")
    source = book(tmp_path / "books", "p1", str(tmp_path / "far" / "scan.png"))
    assert pairs(source) == {"p1": tmp_path / "far" / "scan.png"}
    assert pairs(book(tmp_path / "books", "p1", f"file://{tmp_path}/far/scan.png")) == {
        "p1": tmp_path / "far" / "scan.png"
    }


def test_the_nearest_folder_comes_first(tmp_path: Path) -> None:
    """A collection with a mets.xml and an image of its own, and a book with the same name below it."""
    tree(tmp_path, "mets.xml", "p1.png", "book/p1.png")
    book(tmp_path, "book/page/p1", "p1.png")
    assert pairs(tmp_path) == {"book/page/p1": tmp_path / "book" / "p1.png"}


def two_books(root: Path, name: str = "page-xml", image: str = "IMG/p1.png") -> None:
    for one in "ab":
        tree(root, f"{one}/mets.xml", f"{one}/IMG/p1.png")
        book(root, f"{one}/GT/p1", image, name)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("images", [None, ".", "a", "a/IMG", "b/IMG", "a/GT", "none", "flat"])
def test_each_book_has_its_own_page(images: str | None, name: str, tmp_path: Path) -> None:
    two_books(tmp_path, name)
    tree(tmp_path, "flat/p1.png")
    options = {} if images is None else {"images": tmp_path / images}
    assert pairs(tmp_path, name, **options) == {f"{one}/GT/p1": tmp_path / one / "IMG" / "p1.png" for one in "ab"}


@pytest.mark.parametrize("image", ["p1.png", "IMG/p1.png", "/gone/p1.png", "../p1.png", "", "p1.tif"])
def test_a_folder_of_images_is_not_shared_by_books(image: str, tmp_path: Path) -> None:
    tree(tmp_path, "scans/p1.png")
    for one in "ab":
        book(tmp_path / "labels", f"{one}/p1", image)
    paired = pairs(tmp_path / "labels", images=tmp_path / "scans")
    assert len(paired) == 2
    assert all(
        str(found).startswith("image.missing: ") and "several documents" in str(found) for found in paired.values()
    )
    assert pairs(tmp_path / "labels" / "a", images=tmp_path / "scans") == {"a/p1": tmp_path / "scans" / "p1.png"}
    tree(tmp_path, "scans/a/p1.png")
    assert pairs(tmp_path / "labels", images=tmp_path / "scans")["a/p1"] == tmp_path / "scans" / "a" / "p1.png"
    tree(tmp_path, "scans/b/p1.png")
    assert set(pairs(tmp_path / "labels", images=tmp_path / "scans").values()) == {
        tmp_path / "scans" / one / "p1.png" for one in "ab"
    }


def test_paths_with_folders_tell_books_apart(tmp_path: Path) -> None:
    tree(tmp_path, "scans/a/p1.png", "scans/b/p1.png", "scans/p1.png")
    for one in "ab":
        book(tmp_path / "labels", one, f"{one}/p1.png")
    scans = tmp_path / "scans"
    assert pairs(tmp_path / "labels", images=scans) == {one: scans / one / "p1.png" for one in "ab"}
    (scans / "b" / "p1.png").unlink()
    paired = pairs(tmp_path / "labels", images=scans)
    assert paired["a"] == scans / "a" / "p1.png" and "several documents" in str(paired["b"])


def test_two_documents_of_one_page_share_its_image(tmp_path: Path) -> None:
    tree(tmp_path, "book/mets.xml", "scans/p1.png")
    book(tmp_path, "book/GT/p1", "IMG/p1.png")
    book(tmp_path, "book/OCR/p1", "IMG/p1.png")
    assert set(pairs(tmp_path / "book", images=tmp_path / "scans").values()) == {tmp_path / "scans" / "p1.png"}


def test_images_option_of_one_book(tmp_path: Path) -> None:
    tree(tmp_path, "big/p1.png", "big/sub/p2.png", "labels/p1.png", "labels/jpg/p3.png")
    book(tmp_path / "labels", "p1", "/gone/p1.png")
    book(tmp_path / "labels", "sub/p2", "p2.png")
    book(tmp_path / "labels", "sub/p3", "../jpg/p3.png")
    assert pairs(tmp_path / "labels", images=tmp_path / "big") == {
        "p1": tmp_path / "big" / "p1.png",
        "sub/p2": tmp_path / "big" / "sub" / "p2.png",
        "sub/p3": tmp_path / "labels" / "jpg" / "p3.png",
    }


REFUSED = [
    ("a\0.png", "source.outside", "NUL"),
    ("..", "source.outside", "names no file"),
    ("IMG/", "source.outside", "names no file"),
    ("/", "source.outside", "names no file"),
    ("s3://bucket/a.png", "source.address", "not fetched"),
    ("ftp://example.org/a.png", "source.address", "not fetched"),
    ("", "image.missing", "no image is named"),
]


@pytest.mark.parametrize(("name", "code", "said"), REFUSED)
def test_what_is_refused_says_why(name: str, code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RowRejected, match=said) as error:
        page_images.image_beside(name, tmp_path / "labels" / "x.xml", tmp_path, SourceOptions())
    assert error.value.code == code


def test_only_files_are_pictures(tmp_path: Path) -> None:
    """A folder, a pipe or a device is no picture, wherever a document points."""
    (tmp_path / "a.png").mkdir()
    os.mkfifo(tmp_path / "b.png")
    for name in ("a.png", "b.png", "/dev/zero", "/proc/self/fd", "../../../../../../dev/null"):
        found = page_images.image_beside(name, tmp_path / "x.xml", tmp_path, SourceOptions())
        assert found.path and not found.path.is_file(), name


@settings(max_examples=200, deadline=None)
@given(name=st.text(st.sampled_from("ab./\\:%2e~\0 é"), max_size=12), images=st.booleans())
def test_any_path(name: str, images: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    tree(root, "labels/a", "labels/b/a", "pictures/a", "a.png")
    options = SourceOptions(images=root / "pictures" if images else None)
    try:
        found = page_images.image_beside(name, root / "labels" / "b" / "x.xml", root / "labels", options)
    except RowRejected as error:
        assert error.code in ("source.outside", "source.address", "image.missing") and str(error)
        return
    assert isinstance(found, Picture) and found.path is not None and "\0" not in str(found.path)


def docling(path: Path, *uris: str) -> None:
    """A document whose pages name these images, with one text on each page."""
    pages = {
        str(number): {"size": {"width": 9, "height": 9}, "image": {"uri": uri, "size": {"width": 9, "height": 9}}}
        for number, uri in enumerate(uris, 1)
    }
    box = {"l": 1, "t": 1, "r": 9, "b": 9, "coord_origin": "TOPLEFT"}
    texts = [
        {"label": "text", "text": f"{path.parent.name} {number}", "prov": [{"page_no": int(number), "bbox": box}]}
        for number in pages
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pages": pages, "texts": texts}), "utf-8")


def test_docling_documents_with_the_same_names(tmp_path: Path) -> None:
    labels, scans = tmp_path / "labels", tmp_path / "scans"
    for one in "ab":
        docling(labels / one / "doc.json", "page_1.png")
    tree(scans, "page_1.png")
    assert "several documents" in str(pairs(labels, "docling", images=scans))
    tree(scans, "a/page_1.png", "b/page_1.png")
    assert pairs(labels, "docling", images=scans) == {f"{one} 1": scans / one / "page_1.png" for one in "ab"}


def test_an_image_with_the_name_of_the_document_is_that_of_its_only_page(tmp_path: Path) -> None:
    tree(tmp_path, "a/doc.png", "b/doc.png")
    docling(tmp_path / "a" / "doc.json", "gone.png")
    docling(tmp_path / "b" / "doc.json", "gone_1.png", "gone_2.png")
    assert pairs(tmp_path, "docling") == {"a 1": tmp_path / "a" / "doc.png", "b 1": None, "b 2": None}

"""Where the picture of a page is: the path in its document, and the places that this path can count from.

A document names its image by a path. That path counts from the document's own folder, or, for documents in a folder
called page, alto, hocr or xml, from the folder above (eScriptorium, Transkribus), or from the folder of the
workspace, the nearest one, up to three above, with a `mets.xml` (OCR-D, Kitodo). The first file that is there counts,
the nearest folder first:

1. the path as it was written, from each of these; `..` and absolute paths are followed;
2. its end (`book/0001.png`, then `0001.png`), since documents keep paths of the machine they were written on;
3. a file with the name of the image or of the document, and any image suffix.

With `--images DIR` paths count from DIR: from the document's own folder as it is repeated there (`DIR/book/…` for
`SOURCE/book/page/0001.xml`), then from DIR itself, longest ends first, then 3. What two books could both mean in DIR
itself (`DIR/0001.png`, for `a/page/0001.xml` and `b/page/0001.xml`) is given to neither: each gets the image that
lies where its path says, or is rejected. Where DIR belongs to another workspace, the image that lies where the path
says comes first.

What may be reached: any file of this machine that its user may read, as in the formats of rows, and of it nothing but
an image (PNG, JPEG, TIFF and the like, which must be as wide to its height as the page says it is): a document can
make an image of this machine part of the user's own training set; it cannot read or send anything. Addresses go
through the checks of downloads. A path with a NUL byte, or one that names no file, is refused (source.outside), other
schemes too (source.address).
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from sft.errors import RowRejected, UsageError
from sft.files import Unit, file_units, open_input
from sft.formats.base import Picture, SourceOptions
from sft.formats.shared import rows

IN_FOLDERS = ("page", "alto", "hocr", "xml")  # of documents beside which the folder above holds the images
Claims = dict[str, set[tuple[Path, str]]]  # end of a path → (folder of the book, path as it is written)
UP = 3  # folders above a document in which a mets.xml is looked for
PARTS = 8  # folders of a path that are looked at
MAX_BYTES = 64 << 20  # of a document that is searched for the images it names
LOOKED_FOR = 16  # places that are remembered for an image that is not there
# imageFilename="…" of PAGE, <fileName>…</fileName> of ALTO, `image "…"` of hOCR, "uri": "…" of docling
PAGES = 8  # in one unit: from each, dozens of lines are cut out
_NAMED = re.compile(
    rb"""\bimageFilename\s{0,9}=\s{0,9}(?:"([^"]{0,4096})"|'([^']{0,4096})')"""
    rb"""|<(?:\w{1,20}:)?fileName[^>]{0,99}>([^<]{0,4096})<"""
    rb"""|\bimage\s{1,9}(?:"([^"]{0,4096})"|'([^']{0,4096})'"""
    rb"""|&quot;([^&]{0,4096})&quot;|([^;"'<>\s]{1,4096}))"""
    rb"""|"uri"\s{0,9}:\s{0,9}"((?!data:)[^"]{0,4096})\""""
)


@dataclass(frozen=True)
class PageDocument:
    """A document of a unit. `contested`: ends of paths, and names without suffix, that other books could mean, too."""

    path: Path
    contested: frozenset[str] = frozenset()


def units(paths: Sequence[Path], root: Path, options: SourceOptions, *, per: int = PAGES) -> Iterator[Unit]:
    """Units whose payload is a tuple of PageDocument, in the order given. With `--images`, documents are searched for
    the images they name.
    """
    contested = _contested(paths) if options.images and len(paths) > 1 else {}
    for unit in file_units(paths, root, per=per):
        yield replace(
            unit, payload=tuple(PageDocument(path, contested.get(path, frozenset())) for path in unit.payload)
        )


def image_beside(
    name: str,
    document: Path,
    root: Path,
    options: SourceOptions,
    *,
    folders: Iterable[str] = (),
    contested: frozenset[str] = frozenset(),
    one_page: bool = True,
) -> Picture:
    """The image that a document calls `name`: an address, or a file that is looked for as the docstring above says.

    `folders`: names of further folders beside the document. `one_page`: an image with the name of the document can be
    that of this page. What is not found is given as it was written. Raises RowRejected: image.missing where no image is
    named or two books could mean it, source.outside, source.address.
    """
    if name.startswith(("http://", "https://", "data:")):
        return replace(rows.picture(name, root), turn=options.turn)
    if "://" in name and not name.startswith("file://"):
        hint = "download the images, and name their folder with --images"
        raise RowRejected("source.address", f"{name[:100]!r} is not fetched", hint=hint)
    search = _ImageSearch(
        _written(name),
        document,
        root,
        options.images,
        tuple(folders),
        contested,
        one_page,
    )
    if "\0" in name:
        raise RowRejected("source.outside", f"{name[:100]!r} contains a NUL byte and is not a path")
    if name and not search.ends:
        raise RowRejected("source.outside", f"{name[:100]!r} names no file")
    image = next(
        filter(
            os.path.isfile,
            chain(search.by_path(), search.by_name()),
        ),
        None,
    )
    if image is None:
        first = search.as_written()
        places = dict.fromkeys(search.by_path())
        return Picture(
            path=first, turn=options.turn, others=tuple(path for path in places if path != first)[:LOOKED_FOR]
        )
    if ".." in image.parts:  # one image, one path
        image = Path(os.path.realpath(image.parent), image.name)
    return Picture(path=image, turn=options.turn)


@dataclass(frozen=True)
class _ImageSearch:
    """One path, and the places it can mean."""

    written: str
    document: Path
    root: Path
    images: Path | None
    folders: tuple[str, ...]
    contested: frozenset[str]
    one_page: bool

    @cached_property
    def ends(self) -> list[str]:
        """The path from its first folder, from its second …, to its last part alone."""
        return _ends(self.written)

    @cached_property
    def stems(self) -> list[str]:
        """Names without suffix that the image may have."""
        return _stems(self.written, self.document if self.one_page else None)

    @cached_property
    def own(self) -> list[Path]:
        """The folders that paths in the document can count from."""
        return [
            *_own(self.document),
            *(self.document.parent / folder for folder in self.folders),
        ]

    @cached_property
    def repeated(self) -> list[Path]:
        """The document's folder below `--images`, then the folders above it that are still of this book."""
        if self.images is None or not self.document.is_relative_to(self.root):
            return []
        parts = self.document.parent.relative_to(self.root).parts
        return [self.images.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]

    def by_path(self) -> Iterator[Path]:
        """The files that the path can mean, the likeliest first."""
        if self.images is None:
            yield from self._as_written()
            yield from (base / end for end in self.ends for base in self.own)
        elif self._of_another_book(self.images):
            yield from chain(self._as_written(), self._in_images(self.images))
        else:
            yield from chain(self._in_images(self.images), self._as_written())

    def _as_written(self) -> Iterator[Path]:
        if self.written:
            yield self.document.parent / self.written
            yield from (base / self.written for base in self.own[1:])

    def _of_another_book(self, images: Path) -> bool:
        mine = _workspace(self.document)
        its = _workspace(images / "image")
        return mine is not None and its is not None and mine != its

    def _in_images(self, images: Path) -> Iterator[Path]:
        if ".." in self.written.split("/") and not os.path.isabs(self.written) and self.ends[0] not in self.contested:
            yield images / self.written
        for end in self.ends:
            yield from (base / end for base in self.repeated)
            if end not in self.contested:
                yield images / end

    def by_name(self) -> Iterator[Path]:
        """Files with the name of the image or of the document, and any image suffix."""
        inner = os.path.dirname(self.written)
        for stem in self.stems:
            if self.images is None:
                bases = [
                    *self.own,
                    *(base / inner for base in self.own if inner),
                ]
            elif _key(stem) in self.contested:
                bases = self.repeated
            else:
                bases = [*self.repeated, self.images]
            for base in bases:
                yield base / rows.with_suffix(base, stem)

    def as_written(self) -> Path:
        """Where the image should have been; RowRejected where nothing says so, or several books share the place."""
        if self.images is not None and (shared := next(self._shared(self.images), None)):
            said = f"{shared} may be that of any of several documents that name a {shared.name}"
            raise RowRejected("image.missing", f"{said}; keep the images of each book in a folder named as it is")
        if not self.written:
            raise RowRejected("image.missing", "no image is named, and none has the name of the document")
        if self.images is None:
            return (_workspace(self.document) or self.document.parent) / self.written
        return self.images / self.written.lstrip("/")

    def _shared(self, images: Path) -> Iterator[Path]:
        """Files that are there, and that several books could mean."""
        places = [images / end for end in self.ends if end in self.contested]
        stems = [stem for stem in self.stems if _key(stem) in self.contested]
        yield from filter(
            os.path.isfile,
            [
                *places,
                *(images / rows.with_suffix(images, stem) for stem in stems),
            ],
        )


def _written(name: str) -> str:
    """A path as this machine writes it."""
    if name.startswith("file://"):
        return unquote("/" + name[len("file://") :].partition("/")[2])
    return name.replace("\\", "/")


def _ends(written: str) -> list[str]:
    """The ends of a path behind its last `..`, the longest first, also with %20 and the like resolved; nothing where
    it names no file.
    """
    parts = [part for part in written.split("/") if part not in ("", ".")]
    if not parts or parts[-1] == ".." or written.endswith("/"):
        return []
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    parts = [part for part in parts if not part.endswith(":")][-PARTS:]
    ends: dict[str, None] = {}
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        ends[end] = None
        ends[unquote(end)] = None
    return list(ends)


def _own(document: Path) -> list[Path]:
    folders = [document.parent.parent] if document.parent.name.lower() in IN_FOLDERS else []
    workspace = _workspace(document)
    return list(
        dict.fromkeys(
            [
                document.parent,
                *folders,
                *([workspace] if workspace else []),
            ]
        )
    )


def _workspace(document: Path) -> Path | None:
    """The nearest folder with a mets.xml."""
    return next(
        (folder for folder in list(document.parents)[: UP + 1] if os.path.isfile(folder / "mets.xml")),
        None,
    )


def _stems(written: str, document: Path | None) -> list[str]:
    """The names without suffix of the image, and of the document."""
    last = Path(written.rsplit("/", 1)[-1])
    stems = [
        last.stem,
        *([document.stem, document.name.split(".")[0]] if document else []),
    ]
    return [stem for stem in dict.fromkeys(stems) if stem not in ("", ".", "..")]


def _key(stem: str) -> str:
    """How a name without its suffix stands among the contested ends; no path begins like this."""
    return f"/{stem}"


def _contested(paths: Sequence[Path]) -> dict[Path, frozenset[str]]:
    """For each document, what others could mean, too: ends of paths that documents of another book name, or documents
    of this book by another path.
    """
    names = {path: _named(path) for path in paths}
    exact: Claims = {}
    ends: Claims = {}
    for path, written in names.items():
        book = _workspace(path) or _own(path)[-1]
        for name in written or [""]:
            claim = (book, name or path.name)
            exact.setdefault(name, set()).add(claim)
            for end in (*_ends(name), *map(_key, _stems(name, path))):
                ends.setdefault(end, set()).add(claim)
    return {path: frozenset(_shared(path, written, exact, ends)) for path, written in names.items()}


def _shared(path: Path, written: list[str], exact: Claims, ends: Claims) -> Iterator[str]:
    """The ends that more than one claim is laid to; a whole path is claimed only by those that write it so."""
    for name in written or [""]:
        for end in (*_ends(name), *map(_key, _stems(name, path))):
            if len((exact if end == name else ends)[end]) > 1:
                yield end


def _named(path: Path) -> list[str]:
    """The paths of images that a document names, near enough: it is searched, not parsed."""
    try:
        with open_input(path) as stream:
            content = stream.read(MAX_BYTES)
    except (UsageError, OSError):
        return []
    names = {next(filter(None, groups), b"") for groups in _NAMED.findall(content)}
    return sorted(_written(html.unescape(name.decode("utf-8", "replace")).strip()) for name in names if name)

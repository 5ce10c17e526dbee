"""Where the images of a converted data set are: in place, or beside OUT under a name made of their content.

    train.jsonl
    train_images/3f/3f9a….jpg   bytes that could stay as they are: SHA-256 of the bytes
    train_images/a1/a10c….png   pixels that were cut out or fixed: SHA-256 of mode, size and pixels, which does not
                                depend on the compression library at hand

A local file that needs no change is not copied: the row names it by its path relative to OUT's folder. Any image of
this machine may be named so, also by an absolute path or `..`, as label files often do (formats of published data sets
are stricter); pipes, devices, `file:` addresses and other schemes than http(s) are never followed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sft.convert.prepare_image import ImagePreparer, PreparedImage
from sft.errors import EngineError, ProblemsFound, SftError, UsageError
from sft.files import atomic, file_state
from sft.formats import Picture
from sft.images import ImageProblem

if TYPE_CHECKING:
    import httpx

    from sft.images import Pixels

MAX_REMOTE_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 120.0  # for one remote image, however steadily it drips
FETCHERS = 8  # downloads at a time in one process
SILENT_AFTER = 3  # times that a host did not answer at all; it is not asked again
# Of zlib. With each line as its difference from the one above: 2.7 times the speed of level 3, for 7 % more bytes.
PNG_LEVEL = 1
ImagePlacement = Literal["in_place", "copied", "drawn"]


class Slow(EngineError):
    """A download that takes too long; not worth another attempt."""


@dataclass(frozen=True)
class Placed:
    """An image in its place: the path from OUT's folder, size in pixels as stored, how it got there, and the bytes of
    the file where it was stored beside OUT.
    """

    url: str
    width: int
    height: int
    kind: ImagePlacement
    size: int = 0


class NotFetched(ImageProblem):
    """A remote image that may be there another time."""


@dataclass
class Store:
    """Puts the images of one output in place; used by one process at a time, with threads of its own for downloads."""

    out: Path  # absolute
    scratch: Path  # the work folder: same file system, removed at the end
    copy: bool = False
    deep: bool = False
    allow_private: bool = False  # addresses inside the network; for tests only
    _silent: dict[str, int] = field(default_factory=dict)
    _client: httpx.Client | None = None
    _folders: set[str] = field(default_factory=set)  # that this process has made, or found
    _preparer: ImagePreparer = field(default_factory=ImagePreparer)

    def __post_init__(self) -> None:
        self._preparer = ImagePreparer(deep=self.deep)
        self._root = str(self.out.parent)
        self._scratch = str(self.scratch)
        self._base = os.path.realpath(self.out.parent)
        self.folder = self.out.with_name(f"{self.out.stem}_images")
        self._folder_name = self.folder.name

    def place(self, picture: Picture, said: object = None) -> Placed:
        """Check a picture, and give it its place; `said` is the path a row had for it, kept if it still leads there.

        `ImageProblem` with the reason code where the picture cannot be used.
        """
        if picture.url:
            picture = replace(picture, url="", path=self._fetched(picture.url))
            return self._put(picture, self._preparer.prepare(picture))
        look = self._preparer.prepare(picture)
        if look.pixels is None and picture.path is not None and not self.copy:
            relative = self._relative(picture.path, said)
            if relative is not None:
                return Placed(relative, look.width, look.height, "in_place")
        return self._put(picture, look)

    def _relative(self, path: Path, said: object) -> str | None:
        """The path from OUT's folder; None where JSON cannot hold it."""
        parent, base_name = os.path.split(path)
        folder = _real(parent)
        if isinstance(said, str) and said and not said.startswith("http") and "\0" not in said:
            named = os.path.join(self._base, said)
            if os.path.basename(named) == base_name and _real(os.path.dirname(named)) == folder:
                return said
        name = _way(self._base, folder) + base_name
        with suppress(UnicodeEncodeError):  # a file name that is not UTF-8
            name.encode()
            return f"./{name}" if name.startswith("http") else name  # the trainers take every http… for an address
        return None

    def _put(self, picture: Picture, look: PreparedImage) -> Placed:
        try:
            if look.pixels is not None:
                name, size = self._write_pixels(look.pixels)
            else:
                content = picture.data if picture.data is not None else (picture.path or Path()).read_bytes()
                name = self._name(
                    hashlib.sha256(content).hexdigest(),
                    look.extension,
                )
                size = self._write(name, lambda: content)
        except OSError as error:
            code = "image.unreadable" if isinstance(error, PermissionError) else "image.missing"
            raise ImageProblem(code, f"cannot be read ({error.strerror or error})") from error
        return Placed(
            name,
            look.width,
            look.height,
            "copied" if look.pixels is None else "drawn",
            size,
        )

    def _write_pixels(self, pixels: Pixels) -> tuple[str, int]:
        """(name, bytes of the file)."""
        mode = "L" if pixels.ndim == 2 else "RGB"
        content = hashlib.sha256(f"{mode} {pixels.shape[1]} {pixels.shape[0]} ".encode())
        content.update(pixels.data if pixels.flags.c_contiguous else pixels.tobytes())
        name = self._name(content.hexdigest(), "png")
        return name, self._write(name, lambda: _png(pixels))

    def _name(self, digest: str, extension: str) -> str:
        return f"{self._folder_name}/{digest[:2]}/{digest}.{extension}"

    def _write(self, name: str, content: Callable[[], bytes]) -> int:
        """Store a file unless it is there; returns its bytes."""
        target = f"{self._root}/{name}"
        if os.access(target, os.F_OK):  # it appeared by renaming, so it is whole
            return file_state(target)[0]
        folder = target.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)
        packed = content()
        atomic.write(target, packed, scratch=self._scratch)
        return len(packed)

    def fetch(self, urls: Iterable[str]) -> None:
        """Bring remote images here, several at a time; what goes wrong is said when the picture is placed."""
        missing = [url for url in dict.fromkeys(urls) if not self._arrived(url).exists()]
        if len(missing) > 1:
            self._connected()
            with ThreadPoolExecutor(FETCHERS) as pool:
                list(pool.map(self._try, missing))

    def _try(self, url: str) -> None:
        with suppress(ImageProblem):
            self._fetched(url)

    def _arrived(self, url: str) -> Path:
        return self.scratch / "fetched" / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()

    def _fetched(self, url: str) -> Path:
        """A remote image as a file of the work folder; fetched once, whatever rows name it."""
        target = self._arrived(url)
        failure = target.with_suffix(".failed")
        if target.exists():
            return target
        if failure.exists():  # fetched a moment ago, for another row or by a thread
            code, _, message = failure.read_text("utf-8").partition(" ")
            raise (NotFetched if code == "later" else ImageProblem)(
                "source.remote" if code == "later" else code, message
            )
        try:
            self._download(url, target)
        except ImageProblem as problem:
            code = "later" if isinstance(problem, NotFetched) else problem.code
            atomic.write(
                failure,
                f"{code} {problem}".encode("utf-8", "replace"),
            )
            raise
        return target

    def _connected(self) -> httpx.Client:
        if self._client is None:
            from sft.files import make_client

            self._client = make_client(self.allow_private)
        return self._client

    def _download(self, url: str, target: Path) -> None:
        import httpx

        from sft.files import Unreachable, fetch_file

        host = "?"
        with suppress(httpx.InvalidURL, ValueError):
            host = httpx.URL(url).host
        if self._silent.get(host, 0) >= SILENT_AFTER:
            raise NotFetched("source.remote", f"{host} does not answer")
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = target.with_name(f"{target.name}.{os.getpid()}.{time.monotonic_ns()}.arriving")
        end = time.monotonic() + MAX_SECONDS
        try:
            fetch_file(
                url,
                arriving,
                client=self._connected(),
                max_bytes=MAX_REMOTE_BYTES,
                on_progress=lambda *_: _in_time(end, url),
                allow_private=self.allow_private,
            )
            os.replace(arriving, target)
            self._silent.pop(host, None)
        except Unreachable as error:
            self._silent[host] = self._silent.get(host, 0) + 1
            raise NotFetched("source.remote", error.message) from error
        except SftError as error:
            raise _problem(error) from error
        finally:
            for left in target.parent.glob(f"{arriving.name}*"):
                left.unlink(missing_ok=True)


def _png(pixels: Pixels) -> bytes:
    """A PNG file of the pixels, which are grey or RGB."""
    import cv2

    settings = [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # not yet in 4.10
        settings += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    written, packed = cv2.imencode(
        ".png",
        pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        settings,
    )
    if not written:
        raise ImageProblem("image.too_large", f"{pixels.shape[1]} x {pixels.shape[0]} px cannot be written as PNG")
    return packed.tobytes()


def _in_time(end: float, url: str) -> None:
    if time.monotonic() > end:
        raise Slow(f"more than {MAX_SECONDS:.0f} s", where=url[:200])


def _problem(error: SftError) -> ImageProblem:
    """Why one image cannot be had; a full disk concerns all of them and is raised."""
    if isinstance(error.__cause__, OSError) and not isinstance(error, (UsageError, ProblemsFound)):
        raise error
    if isinstance(error, UsageError):
        return ImageProblem("source.address", error.message)
    if isinstance(error, ProblemsFound):
        return ImageProblem("image.too_large", error.message)
    return ImageProblem("source.remote", error.message)


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    """A folder without links; asked for once per folder, not once per image."""
    return os.path.realpath(folder)


@lru_cache(maxsize=4096)
def _way(base: str, folder: str) -> str:
    """The relative path from one folder to another, as the beginning of a file's path."""
    way = os.path.relpath(folder, base)
    return "" if way == "." else f"{way}/"


def forget_folders() -> None:
    """Links may lead elsewhere by now."""
    _real.cache_clear()

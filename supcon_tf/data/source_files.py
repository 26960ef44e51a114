"""Takes the original files of a data set from a folder, and names the files that cannot be downloaded."""

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict, Iterator, List, Sequence

import promise
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download import checksums, downloader, resource

from supcon_tf.errors import ArgumentError

STEP_SECONDS = 2.5  # limit for connecting, for encrypting and for answering, each
ANSWER_SECONDS = 5.0  # limit for all steps with the look-up of the name, which cannot be limited by itself
DEAD_ENDS = (http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT)

# Linux distributions repack these files with an anonymous gzip header. (Data set, file) → time in the original header.
GZIP_TIMES = {
    ("fashion_mnist", "train-images-idx3-ubyte.gz"): 1504176606,
    ("fashion_mnist", "train-labels-idx1-ubyte.gz"): 1504176606,
    ("fashion_mnist", "t10k-images-idx3-ubyte.gz"): 1504176627,
    ("fashion_mnist", "t10k-labels-idx1-ubyte.gz"): 1504176627,
}


def place(builder: tfds.core.DatasetBuilder, folder: str) -> None:
    """Copies the original files below `folder` into TFDS's folder of downloads.

    Finds a file by its name, and checks its size and SHA-256 against those that TFDS has registered. The copy's name
    contains the checksum, so that files of the same name from two data sets (mnist and fashion_mnist) stay apart.

    Args:
      builder: of the data set.
      folder: path; may be a gs:// address.

    Raises:
      ArgumentError: the folder does not exist, has none of the files, or has one that is not the original.
    """
    given, folder = folder, os.path.expanduser(folder)
    if not tf.io.gfile.isdir(folder):
        raise ArgumentError("folder", given, "there is no such folder")
    urls_of: Dict[str, List[str]] = {}
    for url in builder.url_infos or {}:
        if not epath.Path(f"{_download_path(builder, url)}.INFO").exists():
            urls_of.setdefault(file_name(builder, url), []).append(url)
    found: Dict[str, List[epath.Path]] = {}
    for directory, _, names in tf.io.gfile.walk(folder):
        for name in urls_of.keys() & set(names):
            found.setdefault(name, []).append(epath.Path(directory) / name)
    if urls_of and not found:
        problem = f"has none of the files of {builder.name}, which are {_enumerate(list(urls_of))}"
        raise ArgumentError("folder", given, problem)
    for name, paths in found.items():
        placed = [_place_file(builder, path, url) for path in paths for url in urls_of[name]]
        if not any(placed):
            has, needs = checksums.compute_url_info(paths[0]), builder.url_infos[urls_of[name][0]]
            raise ArgumentError(
                "folder",
                given,
                f"{paths[0]} is not the original: it has {int(has.size):,} bytes and SHA-256 {has.checksum[:12]}..., "
                f"and should have {int(needs.size):,} bytes and {needs.checksum[:12]}...",
            )


def with_gzip_header(content: bytes, name: str, time: int) -> bytes:
    """Returns a gzip file with the original's name and time put back into its anonymous header (RFC 1952).

    Args:
      content: the file, whose header has ten bytes.
      name: file name in the original header.
      time: seconds since 1970 in the original header.
    """
    has_name = 8
    method, system = content[:3], content[8:10]
    return method + struct.pack("<BI", has_name, time) + system + name.encode() + b"\0" + content[10:]


def file_name(builder: tfds.core.DatasetBuilder, url: str) -> str:
    """Returns the name that TFDS has registered for the file at `url`, else the last part of the URL's path."""
    info = (builder.url_infos or {}).get(url)
    return (info and info.filename) or os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path))


def describe(builder: tfds.core.DatasetBuilder, urls: Sequence[str]) -> str:
    """Lists URLs for a message, with the file's name where the URL does not end in it."""
    names = [(url, file_name(builder, url)) for url in urls]
    return _enumerate([url if url.endswith(f"/{name}") else f"{name} ({url})" for url, name in names])


@contextlib.contextmanager
def watched_downloads() -> Iterator[List[str]]:
    """Makes TFDS download only from hosts that answer. By itself it would try to reach a silent host for minutes.

    Yields:
      The URLs that TFDS needs and cannot reach: empty at first, filled while it prepares a data set.
    """
    out_of_reach: List[str] = []
    answers: Dict[str, bool] = {}
    start_download = downloader._Downloader.download

    def download_if_reachable(self: Any, url: str, *args: Any, **options: Any) -> promise.Promise:
        host = urllib.parse.urlsplit(url).netloc
        if not out_of_reach and host not in answers:
            answers[host] = host_answers(url)
        if not out_of_reach and answers[host]:
            return start_download(self, url, *args, **options)
        # A rejected promise, not an exception, so that TFDS asks for its other files too.
        out_of_reach.append(url)
        return promise.Promise.reject(ConnectionError(url))

    downloader._Downloader.download = download_if_reachable
    try:
        yield out_of_reach
    finally:
        downloader._Downloader.download = start_download


def host_answers(url: str) -> bool:
    """Returns whether the host of `url` answers within `ANSWER_SECONDS`, through the environment's proxy if any."""
    scheme, host = urllib.parse.urlsplit(url)[:2]
    if scheme == "gs":
        scheme, host = "https", "storage.googleapis.com"
    if scheme not in ("http", "https", "ftp"):
        return True
    answers: List[bool] = []
    # The look-up of a name cannot be interrupted; the thread is left behind.
    thread = threading.Thread(target=lambda: answers.append(_connects(f"{scheme}://{host}/")), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return answers == [True]


def _connects(url: str) -> bool:
    """Returns whether a request reaches the server. The server may be slow or reject it."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.build_opener().open(request, timeout=STEP_SECONDS).close()
    except urllib.error.HTTPError as error:
        return error.code not in DEAD_ENDS
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # TFDS may have other certificates
    except socket.timeout:
        return True  # it is connected, and TFDS is more patient
    except (OSError, http.client.HTTPException):
        return False
    return True


def _place_file(builder: tfds.core.DatasetBuilder, path: epath.Path, url: str) -> bool:
    """Copies a file to the place of the download of `url`, with its gzip header restored if needed.

    Returns:
      Whether it is the original; if not, nothing is copied.
    """
    original = builder.url_infos[url]
    target = _download_path(builder, url)
    target.parent.mkdir(parents=True, exist_ok=True)
    time = GZIP_TIMES.get((builder.name, path.name))
    if checksums.compute_url_info(path) == original:
        path.copy(target, overwrite=True)
    elif time is None:
        return False
    else:
        content = with_gzip_header(path.read_bytes(), path.stem, time)
        if hashlib.sha256(content).hexdigest() != original.checksum:
            return False
        target.write_bytes(content)
    # TFDS takes a download for complete once its .INFO file exists, so this file is written last.
    resource.write_info_file(
        url=url, path=target, dataset_name=builder.name, original_fname=path.name, url_info=original
    )
    return True


def _download_path(builder: tfds.core.DatasetBuilder, url: str) -> epath.Path:
    """Returns the path at which all versions of TFDS look for the download of `url`."""
    return builder.data_dir_root / "downloads" / resource.get_dl_fname(url, builder.url_infos[url].checksum)


def _enumerate(names: Sequence[str], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")

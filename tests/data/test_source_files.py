import gzip
import hashlib
import http.server
import io
import pathlib
import socket
import threading
import time

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo

from supcon_tf.data import source_files
from supcon_tf.errors import ArgumentError

DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")
NOWHERE = "http://nowhere.invalid"  # RFC 2606: never resolves


def url_info(content, name):
    return UrlInfo(size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=name)


class Bytes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One example: the contents of the data set's two files, one after the other."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"text": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download(sorted(self.url_infos)))}

    def _generate_examples(self, paths):
        yield 0, {"text": b"".join(path.read_bytes() for path in paths)}


def builder_of(name, data_dir, contents, host=NOWHERE):
    """Returns the builder of a data set with the original files `contents` (name → content) at `host`."""
    urls = {f"{host}/{name}/{file}": url_info(content, file) for file, content in contents.items()}
    kind = type(name.title(), (Bytes,), {"name": name, "url_infos": urls}, skip_registration=True)
    tfds.disable_progress_bar()
    return kind(data_dir=str(data_dir))


def text_of(builder):
    (example,) = builder.as_dataset(split="train").as_numpy_iterator()
    return example["text"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    """Runs a web server on this machine; tests set its `status`, `delay` and `files`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(server.delay)
            content = server.files.get(self.path, b"")
            self.send_response(server.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.delay, server.files = 200, 0, {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_placed_files_are_what_the_data_set_is_prepared_from(tmp_path):
    (tmp_path / "files/deep").mkdir(parents=True)
    (tmp_path / "files/a.bin").write_bytes(b"one ")
    (tmp_path / "files/deep/b.bin").write_bytes(b"two")
    builder = builder_of("pair", tmp_path / "data", {"a.bin": b"one ", "b.bin": b"two"})
    source_files.place(builder, str(tmp_path / "files"))
    builder.download_and_prepare()
    assert text_of(builder) == b"one two"


def test_data_sets_with_files_of_the_same_name_stay_apart(tmp_path):
    contents = {"first": {"a.bin": b"1", "b.bin": b"2"}, "second": {"a.bin": b"3", "b.bin": b"4"}}
    for name, files in contents.items():
        (tmp_path / "files" / name).mkdir(parents=True)
        for file, content in files.items():
            (tmp_path / "files" / name / file).write_bytes(content)
    for name, text in (("first", b"12"), ("second", b"34")):
        builder = builder_of(name, tmp_path / "data", contents[name])
        source_files.place(builder, str(tmp_path / "files"))
        builder.download_and_prepare()
        assert text_of(builder) == text


@pytest.mark.parametrize("content", [b"on", b"two "])
def test_a_file_that_is_not_the_original_is_rejected_by_name(tmp_path, content):
    (tmp_path / "a.bin").write_bytes(content)
    builder = builder_of("pair", tmp_path / "data", {"a.bin": b"one ", "b.bin": b"two"})
    with pytest.raises(ArgumentError, match="a.bin is not the original") as error:
        source_files.place(builder, str(tmp_path))
    assert hashlib.sha256(content).hexdigest()[:12] in str(error.value)
    assert hashlib.sha256(b"one ").hexdigest()[:12] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_the_files_is_rejected_with_their_names(tmp_path):
    builder = builder_of("pair", tmp_path / "data", {"a.bin": b"one ", "b.bin": b"two"})
    with pytest.raises(ArgumentError, match=r"none of the files of pair, which are a\.bin, b\.bin"):
        source_files.place(builder, str(tmp_path))
    with pytest.raises(ArgumentError, match="no such folder"):
        source_files.place(builder, str(tmp_path / "missing"))


def test_gzip_header_is_restored_byte_by_byte():
    stream = io.BytesIO()
    with gzip.GzipFile("some-name", "wb", fileobj=stream, mtime=1504176606) as file:
        file.write(b"content" * 99)
    original = stream.getvalue()
    name_end = original.index(b"\0", 10) + 1
    anonymous = original[:3] + b"\0" + b"\1\2\3\4" + original[8:10] + original[name_end:]
    assert gzip.decompress(anonymous) == b"content" * 99
    assert source_files.with_gzip_header(anonymous, "some-name", 1504176606) == original


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_becomes_the_registered_originals(tmp_path):
    builder = tfds.builder("fashion_mnist", data_dir=str(tmp_path))
    source_files.place(builder, str(DEBIAN))
    placed = [path for path in (tmp_path / "downloads").iterdir() if path.suffix == ".gz"]
    registered = {info.checksum: info.size for info in builder.url_infos.values()}
    assert {hashlib.sha256(path.read_bytes()).hexdigest(): path.stat().st_size for path in placed} == registered


def test_all_files_out_of_reach_are_listed_at_once(tmp_path):
    builder = builder_of("pair", tmp_path, {"a.bin": b"one ", "b.bin": b"two"})
    start = time.monotonic()
    with source_files.watched_downloads() as out_of_reach, pytest.raises(ConnectionError):
        builder.download_and_prepare()
    assert time.monotonic() - start < source_files.ANSWER_SECONDS + 1
    assert out_of_reach == [f"{NOWHERE}/pair/a.bin", f"{NOWHERE}/pair/b.bin"]


def test_only_what_was_not_placed_is_out_of_reach(tmp_path):
    (tmp_path / "b.bin").write_bytes(b"two")
    builder = builder_of("pair", tmp_path, {"a.bin": b"one ", "b.bin": b"two"})
    source_files.place(builder, str(tmp_path))
    with source_files.watched_downloads() as out_of_reach, pytest.raises(ConnectionError):
        builder.download_and_prepare()
    assert out_of_reach == [f"{NOWHERE}/pair/a.bin"]


def test_reachable_files_are_downloaded(tmp_path, server):
    server.files = {"/pair/a.bin": b"one ", "/pair/b.bin": b"two"}
    builder = builder_of("pair", tmp_path, {"a.bin": b"one ", "b.bin": b"two"}, host=server.url)
    with source_files.watched_downloads() as out_of_reach:
        builder.download_and_prepare()
    assert out_of_reach == []
    assert text_of(builder) == b"one two"


def test_description_names_the_file_where_the_url_does_not(tmp_path):
    builder = builder_of("pair", tmp_path, {})
    builder.url_infos.update({f"{NOWHERE}/x?id=1": url_info(b"", "x.zip"), f"{NOWHERE}/y.zip": url_info(b"", "y.zip")})
    assert source_files.describe(builder, list(builder.url_infos)) == f"x.zip ({NOWHERE}/x?id=1), {NOWHERE}/y.zip"


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (405, True), (500, True), (503, False)])
def test_a_server_answers_unless_it_is_a_gateway_to_nowhere(server, status, answers):
    server.status = status
    assert source_files.host_answers(f"{server.url}/file") is answers


def test_a_slow_server_answers(server, monkeypatch):
    monkeypatch.setattr(source_files, "STEP_SECONDS", 0.1)
    server.delay = 0.5
    assert source_files.host_answers(server.url)


def test_a_closed_port_does_not_answer():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not source_files.host_answers(f"http://127.0.0.1:{unused.getsockname()[1]}/file")


def test_the_environments_proxy_is_asked(server, monkeypatch):
    assert not source_files.host_answers(f"{NOWHERE}/file")
    monkeypatch.setenv("http_proxy", server.url)
    assert source_files.host_answers(f"{NOWHERE}/file")
    server.status = 502
    assert not source_files.host_answers(f"{NOWHERE}/file")


def test_a_look_up_that_hangs_is_given_up(monkeypatch):
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(source_files, "ANSWER_SECONDS", 0.2)
    start = time.monotonic()
    assert not source_files.host_answers(f"{NOWHERE}/file")
    assert time.monotonic() - start < 2
    over.set()

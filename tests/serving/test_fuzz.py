"""Damaged and random bytes: the decoder, `serve_encoded` and `predict` answer each file, and then the next."""

import io
import random
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from supcon_tf.cli import predict as predict_command
from supcon_tf.data import pixels
from supcon_tf.serving.export import ServableModel, write_saved_model
from tests.data.test_pixels import FORMATS, SIDE, Pixels, view

NUMBERS = [pytest.param(40, id="usual"), pytest.param(1000, id="many", marks=pytest.mark.slow)]


def damaged(number, seed):
    """Yields contents of files: random bytes, and images cut short, with flipped bits, or with bytes put in."""
    rnd = random.Random(seed)
    originals = sorted(FORMATS.items())
    for i in range(number):
        name, whole = originals[i % len(originals)]
        content = bytearray(whole)
        kind = rnd.randrange(5)
        if kind == 0:
            content = bytearray(rnd.randbytes(rnd.randint(0, 3000)))
            if rnd.random() < 0.5:
                content[:0] = whole[: rnd.randint(0, 40)]
        elif kind == 1:
            content = content[: rnd.randrange(len(content))]
        elif kind == 2:
            for _ in range(rnd.choice([1, 2, 5, 30])):
                content[rnd.randrange(len(content))] ^= 1 << rnd.randrange(8)
        elif kind == 3:  # the header alone
            for _ in range(rnd.randint(1, 6)):
                content[rnd.randrange(min(len(content), 40))] = rnd.randrange(256)
        else:
            at = rnd.randrange(len(content))
            content[at:at] = rnd.randbytes(rnd.randint(1, 50))
        yield f"{i}-{name}", bytes(content)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("exported") / "saved_model")
    names = [str(number) for number in range(SIDE * SIDE * 3)]
    write_saved_model(ServableModel(Pixels(), resized, (SIDE, SIDE, 3), names), path)
    return path


def resized(images):
    """Returns a view of images of any size."""
    return view(tf.cast(tf.image.resize(images, [SIDE, SIDE]), tf.uint8))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_decoder_reads_damaged_files_or_gives_a_short_reason(number):
    read = 0
    for name, content in damaged(number, seed=1):
        try:
            converted = pixels.convert(content).content
        except Exception as error:
            assert len(pixels.reason(error)) > 0 and "\n" not in pixels.reason(error), name
        else:
            image = pixels.decode_image(tf.constant(converted), 3).numpy()
            np.testing.assert_array_equal(image, pixels.decode_image(tf.constant(converted), 3, checked=False), name)
            read += 1
    assert 0 < read < number


@pytest.mark.parametrize("number", NUMBERS)
def test_serve_encoded_answers_whole_batches_of_damaged_files(number, exported):
    model = tf.saved_model.load(exported)
    serve = model.signatures["serve_encoded"]
    good = FORMATS["png"]
    expected = serve(encoded=tf.constant([good]))["probabilities"][0]
    contents = [content for _, content in damaged(number, seed=2)]
    for start in range(0, number, 20):
        answer = serve(encoded=tf.constant([*contents[start : start + 20], good]))
        valid, probabilities = answer["valid"].numpy(), answer["probabilities"].numpy()
        assert valid[-1] and not valid.all()
        np.testing.assert_array_equal(probabilities[-1], expected)
        np.testing.assert_allclose(probabilities.sum(axis=1), valid, atol=1e-4)
        assert ((answer["classes"].numpy() >= 0) == valid).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_predict_names_each_damaged_file_in_one_line(number, exported, tmp_path, capsys):
    files = []
    for name, content in damaged(number, seed=3):
        (tmp_path / name).write_bytes(content)
        files.append(str(tmp_path / name))
    (tmp_path / "good").write_bytes(FORMATS["webp"])
    assert predict_command.main(["predict", exported, *files, str(tmp_path / "good")]) == 2
    printed = capsys.readouterr()
    answered = [line.split(": ")[0] for line in printed.out.splitlines()]
    refused = [line.split(": ")[1] for line in printed.err.splitlines() if line.startswith("predict: ")]
    assert sorted([*answered, *refused]) == sorted([*files, str(tmp_path / "good")])
    assert answered[-1] == str(tmp_path / "good") and refused
    assert "Traceback" not in printed.err


def test_what_libjpeg_prints_without_a_name_is_not_shown(exported, tmp_path, capfd):
    (tmp_path / "half.jpg").write_bytes(FORMATS["jpeg"][: len(FORMATS["jpeg"]) // 2])
    capfd.readouterr()
    assert predict_command.main(["predict", exported, str(tmp_path / "half.jpg")]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"predict: {tmp_path / 'half.jpg'}: ")


def test_predict_refuses_a_foreign_model_that_writes_files(exported, tmp_path, capsys):
    written = str(tmp_path / "written")

    class Foreign(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
        def serve(self, encoded):
            tf.io.write_file(written, encoded[0])
            number = tf.shape(encoded)[0]
            probabilities = tf.ones([number, 1])
            return {
                "probabilities": probabilities,
                "classes": tf.argmax(probabilities, axis=1),
                "valid": tf.fill([number], True),
            }

    foreign = Foreign()
    tf.saved_model.save(foreign, str(tmp_path / "foreign"), signatures={"serve_encoded": foreign.serve})
    (tmp_path / "foreign" / "assets").mkdir(exist_ok=True)
    (tmp_path / "foreign" / "assets" / "classes.txt").write_text("cat\n")
    (tmp_path / "image.png").write_bytes(FORMATS["png"])
    given = [str(tmp_path / "foreign"), str(tmp_path / "image.png")]
    assert predict_command.main(["predict", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "foreign: contains WriteFile, which can touch files" in line and "add --trust_model" in line
    assert not tf.io.gfile.exists(written)
    assert predict_command.main(["predict", "--trust_model", *given]) == 0
    assert tf.io.gfile.exists(written)


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.index", "assets/classes.txt"])
def test_predict_names_a_damaged_model_in_one_line(part, exported, tmp_path, capsys):
    model = tmp_path / "saved_model"
    shutil.copytree(exported, model)
    (tmp_path / "image.png").write_bytes(FORMATS["png"])
    if (model / part).exists():
        (model / part).write_bytes((model / part).read_bytes()[:7] + b"\xff\xff")
    status = predict_command.main(["predict", str(model), str(tmp_path / "image.png")])
    printed = capsys.readouterr()
    assert status == 2 and len(printed.err.splitlines()) == 1 and "Traceback" not in printed.err


def test_a_picture_of_each_mode_that_pillow_writes_is_read_or_refused():
    refused = {}
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "I;16"):
        for kind in ("PNG", "TIFF", "JPEG", "GIF", "BMP", "WEBP"):
            stream = io.BytesIO()
            try:
                PIL.Image.new(mode, (5, 4)).save(stream, kind)
                PIL.Image.open(stream).load()  # Pillow cannot read all that it writes
            except Exception:
                continue
            try:
                converted = pixels.encode(stream.getvalue())
            except Exception as error:
                refused[mode, kind] = pixels.reason(error)
            else:
                assert pixels.decode_image(tf.constant(converted), 3).shape == (4, 5, 3), (mode, kind)
    assert {mode for mode, _ in refused} <= {"F"}, refused

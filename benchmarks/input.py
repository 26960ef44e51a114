"""Measures the input pipeline on one core: two views of each JPEG, beside decoding alone and other libraries.

    PYTHONPATH=. .venv/bin/python benchmarks/input.py

prints two Markdown tables: images per second by policy, and the time of each step of a view. `--views` and `--steps`
choose one table, `--policies` a part of both. The first table includes albumentations and torchvision if they are
installed. It is best to install them in a separate environment, which `--python` names:

    PYTHONPATH=. .venv/bin/python benchmarks/input.py --python=/path/to/environment/bin/python

The images are parts of the two photographs that scikit-learn ships: 500×375, JPEG of quality 90, in memory. Views are
224×224. The pipelines differ only in what makes the views. All yield bytes in batches of 32, on one thread, without a
parallel map. All take turns with equally many images, so that other load on the machine affects all alike. Figures are
medians over the rounds.
"""

import argparse
import functools
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from benchmarks.lib import turns
from benchmarks.lib.turns import print_header, print_row
from supcon_tf import config

WIDTH, HEIGHT = 500, 375
QUALITY = 90
VIEWS = 2
SIDE = 224
BATCH = 32

POLICIES = tuple(policy for policy in config.POLICIES if policy != "none")
OPERATION_POLICIES = tuple(policy for policy in POLICIES if policy not in ("crop_flip", "simclr"))
PIXELWISE = ("jitter", "grey", "blur")
DECODING = "decoding alone"


class Row(NamedTuple):
    """A row of the first table.

    Attributes:
      title: first column of the row.
      maker: library that makes the views.
      policy: one of `POLICIES`.
      options: fields of `AugmentOptions` for this package; `blur_probability` for the others.
      on_device: steps that are left to the device.
    """

    title: str
    maker: str
    policy: str
    options: Mapping[str, Any] = {}
    on_device: Sequence[str] = ()


NO_BLUR = {"blur_probability": 0.0}
BLUR = {"blur_probability": 0.5}
TENSORFLOW = {"jitter_style": "tensorflow"}

ROWS = (
    Row("crop_flip", "ours", "crop_flip"),
    Row("simclr", "ours", "simclr"),
    Row("simclr without blur", "ours", "simclr", NO_BLUR),
    Row("simclr in TensorFlow's style", "ours", "simclr", TENSORFLOW),
    Row("the same without blur", "ours", "simclr", {**TENSORFLOW, **NO_BLUR}),
    Row("simclr, blur on the device", "ours", "simclr", on_device=("blur",)),
    Row("simclr, jitter, grey and blur on the device", "ours", "simclr", on_device=PIXELWISE),
    *(Row(policy, "ours", policy) for policy in OPERATION_POLICIES),
    Row("tf.image, simclr", "tf.image", "simclr", BLUR),
    Row("tf.image, simclr without blur", "tf.image", "simclr", NO_BLUR),
    Row("torchvision, autoaugment_imagenet", "torchvision", "autoaugment_imagenet"),
    Row("torchvision, autoaugment_cifar10", "torchvision", "autoaugment_cifar10"),
    Row("torchvision, randaugment", "torchvision", "randaugment"),
    Row("albumentations, crop_flip", "albumentations", "crop_flip"),
    Row("albumentations, simclr", "albumentations", "simclr", BLUR),
    Row("albumentations, simclr without blur", "albumentations", "simclr", NO_BLUR),
)


def rows_of(maker: str, policies: Sequence[str]) -> List[Row]:
    """Returns the rows of the first table for one library."""
    return [row for row in ROWS if row.maker == maker and row.policy in policies]


class Photographs(NamedTuple):
    """Folder of the encoded images, and number of images in a turn."""

    folder: str
    images_per_turn: int

    def read(self) -> List[bytes]:
        """Returns the contents of all files."""
        contents = []
        for name in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, name), "rb") as file:
                contents.append(file.read())
        return contents


def write_photographs(folder: str, number: int) -> float:
    """Writes random parts of scikit-learn's photographs as JPEG files, equal in each call.

    Returns:
      Their mean size in bytes.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    originals = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    total = 0
    for index in range(number):
        original = originals[index % len(originals)]
        height = int(random.integers(280, original.height + 1))
        width = height * WIDTH // HEIGHT
        left = int(random.integers(0, original.width - width + 1))
        top = int(random.integers(0, original.height - height + 1))
        part = original.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, (left, top, left + width, top + height))
        encoded = io.BytesIO()
        part.save(encoded, "JPEG", quality=QUALITY)
        with open(os.path.join(folder, f"{index:05}.jpg"), "wb") as file:
            file.write(encoded.getvalue())
        total += len(encoded.getvalue())
    return total / number


# Child processes, which run the pipelines. Each imports only the library that it measures.

# Runs a pipeline for one turn, from first to last image.
Turn = Callable[[], None]


def timed(turn: Turn) -> str:
    """Returns the seconds and the processor seconds of a turn."""
    seconds, processor = time.perf_counter(), time.process_time()
    turn()
    return f"{time.perf_counter() - seconds!r} {time.process_time() - processor!r}"


def as_replies(turns_by_title: Mapping[str, Turn]) -> turns.Replies:
    """Returns a reply for each title, which times a turn, and one for `titles`. Runs each turn once to warm up."""
    for turn in turns_by_title.values():
        turn()
    replies = {title: functools.partial(timed, turn) for title, turn in turns_by_title.items()}
    return {"titles": lambda: json.dumps(list(turns_by_title)), **replies}


def _turn_of(dataset: Any, batches: int) -> Turn:
    """Returns a turn of an endless `tf.data` pipeline."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    # By default TensorFlow makes a map parallel, and it then works ahead between turns.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    # One iterator serves all turns, because the start of an iterator takes as long as many images.
    iterator = iter(dataset.with_options(options))

    def turn() -> None:
        for _ in range(batches):
            next(iterator)

    return turn


def tensorflow_turns(policies: Sequence[str], photographs: Photographs) -> Dict[str, Turn]:
    """Returns turns for decoding alone and for TensorFlow's rows of the first table."""
    import tensorflow as tf

    encoded = tf.constant(photographs.read())

    def turn_of(make_views: Callable[[Any, Any], Any]) -> Turn:
        @tf.autograph.experimental.do_not_convert
        def example(index: tf.Tensor) -> Any:
            content = tf.gather(encoded, index % encoded.shape[0])
            image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_FAST")
            return make_views(image, tf.stack([0, index]))

        dataset = tf.data.Dataset.range(1 << 40).map(example).batch(BATCH)
        return _turn_of(dataset, photographs.images_per_turn // BATCH)

    found = {DECODING: turn_of(lambda image, seed: image[0, 0])}
    for maker, make_views in (("ours", ours), ("tf.image", with_tf_image)):
        for row in rows_of(maker, policies):
            found[row.title] = turn_of(functools.partial(make_views, row))
    return found


def ours(row: Row, image: Any, seed: Any) -> Any:
    """Makes views with this package."""
    from supcon_tf.augment.views import views_for_device
    from supcon_tf.config import AugmentOptions

    options = AugmentOptions(augment=(row.policy,), **row.options)
    return views_for_device(
        image, seed, num_views=VIEWS, image_size=SIDE, options=options, flip=True, device_steps=row.on_device
    )


def with_tf_image(row: Row, image: Any, seed: Any) -> Any:
    """Makes SimCLR's views with tf.image, in the usual way: whole images in float32, one operation after the other."""
    import tensorflow as tf

    def happens(probability: float) -> Any:
        return tf.random.uniform([]) < probability

    def jitter(view: tf.Tensor) -> tf.Tensor:
        operations = (
            lambda v: tf.image.random_brightness(v, 0.8),
            lambda v: tf.image.random_contrast(v, 0.2, 1.8),
            lambda v: tf.image.random_saturation(v, 0.2, 1.8),
            lambda v: tf.image.random_hue(v, 0.2),
        )
        for index in tf.unstack(tf.random.shuffle(tf.range(4))):
            branches = [functools.partial(operation, view) for operation in operations]
            view = tf.clip_by_value(tf.switch_case(index, branches), 0.0, 1.0)
        return view

    def blur(view: tf.Tensor) -> tf.Tensor:
        distances = tf.range(-(SIDE // 20), SIDE // 20 + 1, dtype=tf.float32)
        weights = tf.exp(-0.5 * (distances / tf.random.uniform([], 0.1, 2.0)) ** 2)
        weights = tf.tile(tf.reshape(weights / tf.reduce_sum(weights), [-1, 1, 1, 1]), [1, 1, 3, 1])
        blurred = tf.nn.depthwise_conv2d(view[tf.newaxis], weights, [1, 1, 1, 1], "SAME")
        return tf.nn.depthwise_conv2d(blurred, tf.transpose(weights, [1, 0, 2, 3]), [1, 1, 1, 1], "SAME")[0]

    def grey(view: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.image.rgb_to_grayscale(view), [1, 1, 3])

    def one_view() -> tf.Tensor:
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(pixels), tf.zeros([1, 0, 4]), area_range=(0.08, 1.0), use_image_if_no_bounding_boxes=True
        )
        view = tf.image.resize(tf.slice(pixels, begin, size), [SIDE, SIDE])
        view = tf.image.random_flip_left_right(view)
        view = tf.cond(happens(0.8), lambda: jitter(view), lambda: view)
        view = tf.cond(happens(0.2), lambda: grey(view), lambda: view)
        if row.options["blur_probability"]:
            view = tf.cond(happens(row.options["blur_probability"]), lambda: blur(view), lambda: view)
        return tf.cast(tf.clip_by_value(view, 0.0, 1.0) * 255, tf.uint8)

    pixels = tf.image.convert_image_dtype(image, tf.float32)
    return tf.stack([one_view() for _ in range(VIEWS)])


def albumentations_turns(policies: Sequence[str], photographs: Photographs) -> Dict[str, Turn]:
    """Returns turns for the rows of albumentations, which uses OpenCV."""
    import albumentations
    import cv2
    import numpy as np

    cv2.setNumThreads(1)

    def turn_of(row: Row) -> Turn:
        steps = [
            albumentations.RandomResizedCrop((SIDE, SIDE), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
            albumentations.HorizontalFlip(p=0.5),
        ]
        if row.policy == "simclr":
            steps += [
                albumentations.ColorJitter((0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2), p=0.8),
                albumentations.ToGray(p=0.2),
                # The size of the kernel follows from sigma.
                albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=row.options["blur_probability"]),
            ]
        policy = albumentations.Compose(steps)

        def two_views(content: bytes) -> Any:
            image = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            return np.stack([policy(image=image)["image"] for _ in range(VIEWS)])

        return _turn_of_python(two_views, photographs)

    return {row.title: turn_of(row) for row in rows_of("albumentations", policies)}


def torchvision_turns(policies: Sequence[str], photographs: Photographs) -> Dict[str, Turn]:
    """Returns turns for the rows of torchvision, which uses Pillow."""
    import numpy as np
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(1)
    policy_of = {
        "autoaugment_imagenet": lambda: transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET),
        "autoaugment_cifar10": lambda: transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
        "randaugment": lambda: transforms.RandAugment(2),
    }

    def turn_of(row: Row) -> Turn:
        first = [transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()]
        policy = transforms.Compose([*first, policy_of[row.policy]()])

        def two_views(content: bytes) -> Any:
            image = Image.open(io.BytesIO(content)).convert("RGB")
            return np.stack([np.asarray(policy(image)) for _ in range(VIEWS)])

        return _turn_of_python(two_views, photographs)

    return {row.title: turn_of(row) for row in rows_of("torchvision", policies)}


def _turn_of_python(two_views: Callable[[bytes], Any], photographs: Photographs) -> Turn:
    """Returns a turn of a loop in Python that makes batches."""
    import numpy as np

    contents = itertools.cycle(photographs.read())

    def turn() -> None:
        for _ in range(photographs.images_per_turn // BATCH):
            np.stack([two_views(next(contents)) for _ in range(BATCH)])

    return turn


class Step(NamedTuple):
    """A row of the second table.

    Attributes:
      title: first column of the row.
      policies: policies with this step.
      takes_bytes: whether the step takes uint8 `[224, 224, 3]`; otherwise it takes float32.
      take: view and uniform numbers `[14]` → result.
    """

    title: str
    policies: Sequence[str]
    takes_bytes: bool
    take: Callable[[Any, Any], Any]


def steps_of(policies: Sequence[str]) -> List[Step]:
    """Returns the steps of these policies, except the crop."""
    import tensorflow as tf

    from supcon_tf.augment import blur, colour, geometry, levels

    def amounts(uniforms: tf.Tensor, style: str) -> tf.Tensor:
        start = tf.constant([0.2 if style == "torchvision" else -0.8, 0.2, 0.2, -0.2])
        return start + [1.6, 1.6, 1.6, 0.4] * uniforms[5:9]

    def jitter_step(style: str, index: int, view: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        return colour.STYLES[style][index](view, amounts(uniforms, style)[index])

    def jitter(style: str, view: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        order = tf.cast(len(colour.ORDERS) * uniforms[4], tf.int32)
        return colour.jitter(view, amounts(uniforms, style), order, style)

    def operation(index: int, argument: float, view: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        return levels.apply(view, tf.constant(index), tf.constant(argument, tf.float32), uniforms[:3])

    jittered, operated = ("simclr", "stacked_randaugment"), OPERATION_POLICIES
    steps = [
        Step("rounding to bytes", POLICIES, False, lambda view, _: tf.cast(tf.round(view), tf.uint8)),
        Step("mirror", POLICIES, True, lambda view, _: geometry.mirror(view)),
    ]
    for index, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        steps.append(Step(name, jittered, False, functools.partial(jitter_step, "torchvision", index)))
    steps.append(Step("jitter: these four in random order", jittered, False, functools.partial(jitter, "torchvision")))
    for index, name in enumerate(("brightness", "contrast", "saturation")):
        title = f"{name}, TensorFlow's"
        steps.append(Step(title, jittered, False, functools.partial(jitter_step, "tensorflow", index)))
    title = "jitter in TensorFlow's style"
    steps += [
        Step(title, jittered, False, functools.partial(jitter, "tensorflow")),
        Step("grey", jittered, False, lambda view, _: colour.grey(view)),
        Step("blur", jittered, False, lambda view, uniforms: blur.gaussian_blur(view, 0.1 + 1.9 * uniforms[9])),
        Step("choice among operations, none taken", operated, True, functools.partial(operation, levels.NOTHING, 0.0)),
    ]
    for index, name in enumerate(levels.OPERATIONS):
        take = functools.partial(operation, index, levels.argument_at(name, 10, 100.0, 40.0))
        steps.append(Step(f"{name}, with the choice", operated, True, take))
    return [step for step in steps if set(step.policies) & set(policies)]


# Inputs of the steps. A row with this title only passes the input on.
FLOATS, BYTES, PHOTOGRAPH = PASSED_ON = ("float32", "uint8", "photograph")


def step_turns(policies: Sequence[str], photographs: Photographs) -> Dict[str, Turn]:
    """Returns turns for the rows of the second table, on views of 'crop_flip'."""
    import tensorflow as tf

    from supcon_tf.augment import geometry, views
    from supcon_tf.config import AugmentOptions

    options = AugmentOptions(augment=("crop_flip",))
    number = photographs.images_per_turn
    contents = photographs.read()[:number]
    whole = tf.stack([tf.io.decode_jpeg(content, channels=3) for content in contents])
    uniforms = tf.random.stateless_uniform([len(contents), 14], [0, 0])

    @tf.function
    def parameters(image: tf.Tensor, index: tf.Tensor) -> views.ViewParameters:
        return views.draw_parameters(image, tf.stack([0, index]), [policies[-1]] * VIEWS, options, True)

    boxes = tf.stack([parameters(image, tf.constant(i, tf.int64)).box[0] for i, image in enumerate(whole)])
    crops = tf.stack([geometry.resized_crop(image, box, SIDE) for image, box in zip(whole, boxes)])
    crops_in_bytes = tf.cast(tf.round(crops), tf.uint8)

    def turn_of(values: Tuple[tf.Tensor, ...], take: Callable[..., Any]) -> Turn:
        @tf.autograph.experimental.do_not_convert
        def one_number(*arguments: tf.Tensor) -> tf.Tensor:  # depends on each result, so none is optimised away
            results = [result for result in tf.nest.flatten(take(*arguments)) if result.shape.num_elements() != 0]
            return tf.add_n([tf.cast(tf.reshape(result, [-1])[0], tf.float32) for result in results])

        dataset = tf.data.Dataset.from_tensor_slices(values).repeat().map(one_number)
        return _turn_of(dataset.batch(number), 1)

    indices = tf.range(len(contents), dtype=tf.int64)
    found = {
        FLOATS: turn_of((crops, uniforms), lambda view, _: view),
        BYTES: turn_of((crops_in_bytes, uniforms), lambda view, _: view),
        PHOTOGRAPH: turn_of((whole, boxes), lambda image, _: image),
        f"{PHOTOGRAPH}: all random numbers of two views": turn_of((whole, indices), parameters),
        f"{PHOTOGRAPH}: crop and resize": turn_of((whole, boxes), lambda i, box: geometry.resized_crop(i, box, SIDE)),
    }
    for step in steps_of(policies):
        given, values = (BYTES, crops_in_bytes) if step.takes_bytes else (FLOATS, crops)
        found[f"{given}: {step.title}"] = turn_of((values, uniforms), step.take)
    return found


CHILDREN: Dict[str, Callable[[Sequence[str], Photographs], Dict[str, Turn]]] = {
    "tensorflow": tensorflow_turns,
    "albumentations": albumentations_turns,
    "torchvision": torchvision_turns,
    "steps": step_turns,
}
PEERS = ("albumentations", "torchvision")


# The parent process, which measures.


class Measured(NamedTuple):
    """Times of one row: seconds and processor seconds of its turn in each round."""

    seconds: List[float]
    processor: List[float]


def measure(children: Sequence[turns.Child], rounds: int) -> Dict[str, Measured]:
    """Times the turns of all children, one after the other in each round. Ends the children."""

    def ask(child: turns.Child, what: str) -> str:
        answer = child.ask(what)
        if answer is None:
            sys.exit(1)  # the child has printed the reason
        return answer

    try:
        for child in children:
            child.answer()
        titles = [(child, title) for child in children for title in json.loads(ask(child, "titles"))]
        measured = {title: Measured([], []) for _, title in titles}
        for _ in range(rounds):
            for child, title in titles:
                for values, value in zip(measured[title], ask(child, title).split()):
                    values.append(float(value))
    finally:
        for child in children:
            child.end()
    return measured


def print_views(arguments: argparse.Namespace, photographs: Photographs) -> None:
    """Prints the first table."""
    print("## Two views of an image, on one core\n")
    children = [start(arguments, "tensorflow", photographs)]
    for peer in PEERS:
        if not rows_of(peer, arguments.policies):
            continue
        if is_there(peer, arguments.python):
            children.append(start(arguments, peer, photographs, arguments.python))
        else:
            print(f"{peer} is left out, because this Python lacks it; `--python` names one that has it.\n")
    measured = measure(children, arguments.rounds)
    print_header(["views", "images/s", "of decoding alone", "processor µs per image", "of decoding alone, by these"])
    floor = measured[DECODING]
    for title, row_times in measured.items():
        figures = [
            f"{photographs.images_per_turn / statistics.median(row_times.seconds):.0f}",
            f"{median_ratio(floor.seconds, row_times.seconds):.3f}",
            f"{1e6 * statistics.median(row_times.processor) / photographs.images_per_turn:.0f}",
            f"{median_ratio(floor.processor, row_times.processor):.3f}",
        ]
        print_row([title, *figures])
    print()


def print_steps(arguments: argparse.Namespace, photographs: Photographs) -> None:
    """Prints the second table."""
    print("## Where the time of a view goes\n")
    print("Processor time of each step alone, without the time to pass a view on.\n")
    measured = measure([start(arguments, "steps", photographs)], arguments.rounds)
    print_header(["step", "processor µs per view"])
    for title, step_times in measured.items():
        if title not in PASSED_ON:
            given, step = title.split(": ", 1)
            seconds = (taken - nothing for taken, nothing in zip(step_times.processor, measured[given].processor))
            print_row([step, f"{1e6 * statistics.median(seconds) / photographs.images_per_turn:.0f}"])
    print()


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Returns the median over the rounds of the ratio within a round."""
    return statistics.median(one / other for one, other in zip(ones, others))


def is_there(package: str, python: str) -> bool:
    """Returns whether the interpreter `python` finds the package."""
    check = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", check]).returncode == 0


def start(
    arguments: argparse.Namespace, kind: str, photographs: Photographs, python: str = sys.executable
) -> turns.Child:
    """Starts a child process of one of `CHILDREN`."""
    return turns.Child({"kind": kind, "policies": arguments.policies, "photographs": photographs}, python)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = parser.add_argument_group("tables", "both, unless one is chosen")
    tables.add_argument("--views", action="store_true", help="images per second by policy")
    tables.add_argument("--steps", action="store_true", help="where the time of a view goes")
    parser.add_argument("--policies", nargs="+", default=POLICIES, choices=POLICIES, help="policies (default all)")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each row (default 12)")
    parser.add_argument("--images", type=int, default=512, help="JPEGs (default 512)")
    parser.add_argument("--images-per-turn", type=int, default=64, help=f"a multiple of {BATCH} (default 64)")
    parser.add_argument("--python", default=sys.executable, help="the Python that has albumentations or torchvision")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.images_per_turn < BATCH or arguments.images_per_turn % BATCH:
        parser.error(f"--images-per-turn must be a multiple of {BATCH}")
    if arguments.images < arguments.images_per_turn:
        parser.error("--images must not be less than --images-per-turn")
    return arguments


def main() -> None:
    """Prints the tables, or runs as a child process."""
    arguments = parse_arguments()
    if arguments.child:
        job = json.loads(arguments.child)
        photographs = Photographs(*job["photographs"])
        turns.answer_each(lambda: as_replies(CHILDREN[job["kind"]](job["policies"], photographs)))
        return
    both = not (arguments.views or arguments.steps)
    with tempfile.TemporaryDirectory() as folder:
        kilobytes = write_photographs(folder, arguments.images) / 1000
        print(f"{arguments.images} JPEGs of {WIDTH}×{HEIGHT}, {kilobytes:.0f} kB on average.\n")
        photographs = Photographs(folder, arguments.images_per_turn)
        if both or arguments.views:
            print_views(arguments, photographs)
        if both or arguments.steps:
            print_steps(arguments, photographs)


if __name__ == "__main__":
    main()

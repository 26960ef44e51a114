"""Geometry: random resized crop, mirroring, and the view for evaluation."""

import tensorflow as tf

from supcon_tf.augment.arguments import check_shape
from supcon_tf.errors import check_number, check_whole


def crop_boxes(
    height: tf.Tensor, width: tf.Tensor, uniforms: tf.Tensor, min_area: float, max_area: float, max_aspect: float
) -> tf.Tensor:
    """Returns random crops. Their area is uniform, and their aspect ratio is log-uniform among those that fit.

    The area is drawn first, then the aspect ratio from the part of [1/max_aspect, max_aspect] that fits with that
    area. Trying boxes until one fits would make large areas rare. An image may be so elongated that no crop of
    `min_area` has an allowed aspect ratio. Then the largest crop with an allowed one is returned.

    >>> crop_boxes(tf.constant(40), tf.constant(60), tf.fill([1, 4], 0.5), 0.25, 0.25, 1.0).numpy().tolist()
    [[8, 18, 24, 24]]

    Args:
      height, width: size of the image, in pixels.
      uniforms: `[views, 4]` in [0, 1): area, aspect ratio, vertical and horizontal place.
      min_area, max_area: bounds of the crop's share of the image's area.
      max_aspect: width / height of a crop is between 1 / max_aspect and max_aspect.

    Returns:
      `[views, 4]` int32: top, left, height and width of each crop, in pixels.
    """
    height = tf.cast(height, tf.float32)
    width = tf.cast(width, tf.float32)
    for_area, for_aspect, for_top, for_left = tf.unstack(uniforms, axis=-1)

    # A crop of share a and aspect ratio r fits if a * s <= r <= s / a, where s is the image's own aspect ratio.
    image_aspect = width / height
    largest = tf.minimum(max_area, max_aspect * tf.minimum(image_aspect, 1 / image_aspect))
    smallest = tf.minimum(min_area, largest)
    area = smallest + for_area * (largest - smallest)
    narrowest = tf.maximum(1 / max_aspect, area * image_aspect)
    widest = tf.minimum(max_aspect, image_aspect / area)
    aspect = narrowest * (widest / narrowest) ** for_aspect

    pixels = area * height * width
    crop_height = tf.clip_by_value(tf.round(tf.sqrt(pixels / aspect)), 1, height)
    crop_width = tf.clip_by_value(tf.round(tf.sqrt(pixels * aspect)), 1, width)
    top = tf.floor(for_top * (height - crop_height + 1))
    left = tf.floor(for_left * (width - crop_width + 1))
    return tf.cast(tf.stack([top, left, crop_height, crop_width], axis=-1), tf.int32)


def resized_crop(image: tf.Tensor, box: tf.Tensor, image_size: int) -> tf.Tensor:
    """Returns the part of an image inside a box, resized to a square.

    It interpolates bilinearly between the centres of pixels, without antialiasing. Where a side shrinks to less than
    half, this would skip pixels. Then each new pixel is the mean of the area that it covers.

    Args:
      image: `[height, width, channels]` of any number type.
      box: `[4]` int32: top, left, height and width, in pixels.
      image_size: side of the result, in pixels.

    Returns:
      `[image_size, image_size, channels]` float32, in the units of `image`.
    """
    top, left, height, width = tf.unstack(box)
    # Both ways of resizing take little more than half the time in float32, with the same result.
    crop = tf.cast(image[top : top + height, left : left + width], tf.float32)
    size = [image_size, image_size]
    # Means of areas take 1.5 times as long as bilinear resizing, tf.image's antialiased resizing 4 times.
    return tf.cond(
        tf.maximum(height, width) > 2 * image_size,
        lambda: tf.image.resize(crop, size, method="area"),
        lambda: tf.image.resize(crop, size),
    )


def mirror(image: tf.Tensor) -> tf.Tensor:
    """Returns an image `[height, width, channels]` with left and right exchanged."""
    return tf.reverse(image, axis=[1])


@tf.autograph.experimental.do_not_convert
def evaluation_view(images: tf.Tensor, image_size: int, crop: float) -> tf.Tensor:
    """Returns the central square of each image, resized. Evaluation and the exported model see this view.

    The resizing is bilinear with half-pixel centres, antialiased where the image shrinks. It consists of matrix
    products, so it also runs where TensorFlow's antialiased resizing does not: under XLA, in TFLite and ONNX. A batch
    gives bit for bit what its images give one by one. An image of the right size is returned unchanged if `crop` is 1.

    >>> evaluation_view(tf.zeros([2, 40, 60, 3], tf.uint8), 32, crop=0.875).shape
    TensorShape([2, 32, 32, 3])

    Args:
      images: `[batch, height, width, channels]` uint8, or one image without `batch`. Height and width may be unknown
        until run.
      image_size: side of the result, in pixels.
      crop: side of the central square, as a share of the shorter side, in (0, 1].

    Returns:
      `[batch, image_size, image_size, channels]` uint8, rounded to nearest; without `batch` for one image.

    Raises:
      ArgumentError: an argument is not allowed.
    """
    check_whole("image_size", image_size, 1)
    check_number("crop", crop, above=0, maximum=1)
    images = tf.convert_to_tensor(images)
    if images.shape.rank == 3:
        return evaluation_view(images[tf.newaxis], image_size, crop)[0]
    shapes = "[batch, height, width, channels] or [height, width, channels]"
    check_shape("images", images, [None] * 4, shapes)
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(tf.round(crop * shorter), tf.int32), 1)
    top = (height - side) // 2
    left = (width - side) // 2
    square = tf.cast(images[:, top : top + side, left : left + side], tf.float32)

    weights = _bilinear_weights(image_size, side)
    rows = tf.round(tf.einsum("oi,bijc->bojc", weights, square))
    view = tf.round(tf.einsum("pj,bojc->bopc", weights, rows))
    return tf.cast(view, tf.uint8)


def _bilinear_weights(size: int, length: tf.Tensor) -> tf.Tensor:
    """Returns a matrix `[size, length]` that resizes a column of `length` pixels to `size`. Its rows sum to 1.

    The weights are multiples of 2^-16. With pixels of 8 bits, every product and every partial sum is exact in float32.
    So the result depends neither on the order of summation nor on the batch size.
    """
    scale = tf.cast(length, tf.float32) / size
    centres = (tf.range(size, dtype=tf.float32) + 0.5) * scale
    pixels = tf.range(tf.cast(length, tf.float32)) + 0.5
    # A triangle is as wide as an output pixel where the image shrinks, and as an input pixel where it grows.
    weights = tf.nn.relu(1 - tf.abs(pixels - centres[:, tf.newaxis]) / tf.maximum(scale, 1))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    # Rounding the running sums instead of the weights keeps the sum of each row.
    running_sums = tf.round(tf.cumsum(weights, axis=1) * 2**16) / 2**16
    return running_sums - tf.pad(running_sums[:, :-1], [[0, 0], [1, 0]])

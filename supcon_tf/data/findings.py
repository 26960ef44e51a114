"""Says what was found in a user's folder of images when it was prepared."""

from typing import Any, Dict, List, Optional, Set

from supcon_tf.data.folder import Folder, FolderConfig
from supcon_tf.errors import printable

NAMED = 10  # number of skipped files, and of classes, that are named; the others are only counted


def findings(folder: Folder) -> List[str]:
    """Returns lines on files that were skipped or not used, copies, look-alikes and the classes with their numbers."""
    config, found = folder.builder_config, folder.info.metadata
    lines = [*config.remarks, *(f"Skipped {name}: {reason}" for name, reason in found["skipped"][:NAMED])]
    if found["skipped"]:
        lines.append(f"Files of {config.folder} that cannot be read as images, skipped: {len(found['skipped']):,}")
    flawed, smaller = found["flawed"], found["smaller"]
    if flawed:
        text = f"JPEG files with bytes that do not belong to them: {len(flawed):,}, e.g. {flawed[0]}; they are used"
        lines.append(text)
    if smaller:
        text = f"Training copies made smaller, to at most {config.longest_side:,} pixels a side: {len(smaller):,}"
        lines.append(f"{text}; held-out images stay as they are")
    if found["copies"]:
        held_out, twin = found["copies"][0]
        text = f"Held-out files that are copies of training files: {len(found['copies']):,}, e.g. {held_out} of {twin}"
        lines.append(f"{text}; they make every figure too good")
    if found["alike"]:
        held_out, twin = found["alike"][0]
        text = f"Held-out images that look like training images: {len(found['alike']):,}, e.g. {held_out} like {twin}"
        lines.append(f"{text}; if they show the same, figures are too good")
    if config.class_names:
        lines.append(_classes(config, {name for name, _ in found["skipped"]}))
    dark = dark_line(config.folder, found["sixteen_bits"])
    return [printable(line) for line in (*lines, *([dark] if dark else []))]


def _classes(config: FolderConfig, skipped: Set[str]) -> str:
    """Returns a line with the first classes: name, and the numbers of images to train on and held out."""
    counts = {name: [0, 0] for name in config.class_names}
    for split, files in config.splits.items():
        for file in files:
            counts[file.label][split != "train"] += file.name not in skipped
    shown = [f"{name} {train} + {held_out}" for name, (train, held_out) in list(counts.items())[:NAMED]]
    more = f" and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    return f"Classes, with images for training + held out: {', '.join(shown)}{more}"


def dark_line(folder: str, seen: Dict[str, Any]) -> Optional[str]:
    """Returns a line if most images of 16 bits leave the highest bit unused, otherwise None.

    Args:
      folder: path of the folder.
      seen: numbers of images of 16 bits and of dark ones among them, and their largest value.
    """
    if not seen or 2 * seen.get("dark", 0) <= seen["images"]:
        return None
    factor = 1 << (16 - max(seen["peak"].bit_length(), 1))
    return (
        f"Images of 16 bits in {folder} hardly use values above {seen['peak']}: {seen['dark']} of {seen['images']} "
        f"images. The upper 8 bits are kept, so they are nearly black; multiply their values by {factor}"
    )

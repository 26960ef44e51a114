"""The options of `app.py`: see `supcon_tf.cli.flags` and, for their declaration, `supcon_tf.config.options`."""

from supcon_tf.cli.flags import Command, parse
from supcon_tf.cli.help import config_text, help_text

__all__ = ["Command", "config_text", "help_text", "parse"]

if __name__ == "__main__":
    raise SystemExit("flags.py: only holds names for other programs; python app.py --help lists the options")

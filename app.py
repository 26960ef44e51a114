"""Supervised contrastive learning from the command line: `python app.py --mode=supcon --dataset=digits`."""

import os
import sys

try:
    try:
        from supcon_tf.cli.entry import leave, main
    except ModuleNotFoundError as error:
        if error.name != "supcon_tf":
            raise
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # as without the option -I of Python
        from supcon_tf.cli.entry import leave, main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    leave(main(sys.argv))

"""Supervised contrastive learning from the command line: `python app.py --mode=supcon --dataset=digits`."""

import sys

from supcon_tf.cli.entry import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

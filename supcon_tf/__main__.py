"""Runs the command line: `python -m supcon_tf --mode=supcon --dataset=digits`."""

import sys

from supcon_tf.cli.entry import main

if __name__ == "__main__":
    sys.exit(main(["python -m supcon_tf", *sys.argv[1:]]))

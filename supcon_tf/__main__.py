"""Runs the command line: `python -m supcon_tf --mode=supcon --dataset=digits`."""

import sys

try:
    from supcon_tf.cli.entry import leave, main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    leave(main(["python -m supcon_tf", *sys.argv[1:]]))

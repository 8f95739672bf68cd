"""Runs the command line as `python -m asr_transfer`."""

from asr_transfer.cli import start

if __name__ == "__main__":
    start()

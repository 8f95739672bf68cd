"""Runs the command line as `python -m asr_transfer`."""

from asr_transfer.cli import start

start()

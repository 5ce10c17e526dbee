"""`python -m sft` is the command `sft`."""

from sft.cli import main

main()

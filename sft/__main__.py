"""`python -m sft` is the command `sft`."""

import sys

from sft.cli import main

# sys.exit in any case: where Ctrl-C came inside an exec of a library, Python would remember it and end by SIGINT,
# however well it was dealt with
main()
sys.exit(0)

"""The program: ``sloth-bayes``, and ``python -m sloth_bayes``."""

import gc

from .support import files, interrupt


def main() -> None:
    """Run the command line, which Ctrl-C ends from here on."""
    # A tenth of a short command was Python's search for garbage, which imports hardly make.
    gc.set_threshold(50_000, 20, 100)
    interrupt.end_the_process("sloth-bayes: interrupted", files.remove_unfinished)
    from .cli import main

    try:
        main()
    finally:
        interrupt.leave_alone()


if __name__ == "__main__":
    main()

"""``python -m sloth_bayes`` is ``sloth-bayes``."""

from .cli import main

main()

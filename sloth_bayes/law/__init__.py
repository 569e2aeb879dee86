"""The law: its equations, its likelihood, its specification.

The registries of links and of noise are what a user may add to (docs/extending.md).
"""

from .equations import LINKS as LINKS
from .equations import Link as Link
from .likelihood import NOISE as NOISE

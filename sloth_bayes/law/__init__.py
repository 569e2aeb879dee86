"""The law: its equations, its terms, its likelihood, its specification.

The registries are what a user may add to (docs/extending.md).
"""

from .equations import LINKS as LINKS
from .equations import Link as Link
from .likelihood import LIKELIHOODS as LIKELIHOODS
from .likelihood import NOISE as NOISE
from .likelihood import Observation as Observation
from .terms import TERMS as TERMS
from .terms import Term as Term

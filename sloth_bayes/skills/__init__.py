"""Skills that people can read: rotated, aligned over draws, and named."""

from .find import skills as skills

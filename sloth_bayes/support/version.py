"""The version of the package, in the one place that says it: pyproject.toml reads it here."""

__version__ = "0.2.0"

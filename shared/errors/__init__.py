"""BirthmarkError, and the catalogue of its kinds."""

from shared.errors.base import BirthmarkError, ExitCode, format_error

__all__ = ["BirthmarkError", "ExitCode", "format_error"]

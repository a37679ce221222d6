"""BirthmarkError, and the catalogue of its kinds."""

from shared.errors.base import BirthmarkError, ExitCode, format_error
from shared.errors.codes import ErrorCode

__all__ = ["BirthmarkError", "ErrorCode", "ExitCode", "format_error"]

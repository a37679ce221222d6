"""Looks at all that a Pi needs before a station can provision it, and says what to do about what is missing."""

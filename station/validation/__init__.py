"""Birthmark's validation: PASS or FAIL for a NUC token or a camera's certificate, and nothing about whose it is."""

"""Birthmark's validation: answers PASS or FAIL for a NUC token or a camera's certificate, never whose it is."""

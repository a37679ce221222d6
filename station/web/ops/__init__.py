"""Health and metrics, for the operator's monitoring."""

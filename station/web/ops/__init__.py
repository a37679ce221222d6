"""What whoever operates the station watches: health, metrics."""

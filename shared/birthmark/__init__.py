"""What Birthmark's interface defines and both ends use: key derivation and NUC tokens."""

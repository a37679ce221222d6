"""What Birthmark's interface defines and both ends use, such as key derivation and NUC tokens."""

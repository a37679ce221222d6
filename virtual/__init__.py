"""Stand-ins for hardware in the demo, the tests and the benchmarks: cables between ttys, and Pis with a TPM."""

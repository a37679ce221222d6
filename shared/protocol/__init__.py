"""The session's protocol, sans-I/O: frames, messages, states, transcript, signatures, encryption of the NUC hash."""

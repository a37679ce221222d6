"""Access control: bearer tokens, sign-in, sessions, requests from other sites."""

"""Who may do what: tokens, sign-in, sessions, requests from other sites."""

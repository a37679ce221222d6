"""What both programs need of the operating system: the command group and the service manager."""

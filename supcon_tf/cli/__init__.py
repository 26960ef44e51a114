"""The command line: flags, help, recipes and the one place that turns errors into lines."""

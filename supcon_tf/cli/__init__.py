"""The command line: flags, help, recipes, and `main`. The only place that knows how a flag is written."""

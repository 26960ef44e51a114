"""A run from its options to its report: resolve the options, build the models, train, evaluate, export."""

"""Which images there are, and how they reach the training step."""

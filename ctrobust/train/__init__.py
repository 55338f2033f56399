"""Training: the max over G, the min over f, and the loop around them."""

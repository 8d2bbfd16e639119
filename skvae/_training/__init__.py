"""Training: the one loop, sample weights, masks, stacked models, analytic gradients."""

"""The estimators: parameters, fit, and the answers of the fitted model with labels."""

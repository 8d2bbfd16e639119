"""Inference with a trained model: importance weights, conditionals, scores, latent units."""

"""Importance weights of rows, for tests."""

from skvae._inference.importance import EncodedRows, log_weights, propose


def log_weights_of_rows(model, rows, noise):
    """log p(x, z) − log q(z | x) of draws with the given base noise, (K, n)."""
    encoded = EncodedRows(rows, model.encode(rows))
    return log_weights(model, encoded, propose(model, encoded, noise))

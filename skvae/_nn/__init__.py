"""Building blocks of networks: trunks, normalizing flows, the optimizer, quasi-random noise."""

"""Building blocks of models: networks, flows, densities, random numbers, the optimizer."""

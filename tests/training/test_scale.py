"""Large tables: memory stays bounded, many levels never become a dense table."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
import pandas as pd
from skvae import VAETransformer

rng = np.random.default_rng(0)
n = 100_000
level = rng.zipf(1.3, size=n) % 50_000
level[:50_000] = np.arange(50_000)
X = pd.DataFrame({"level": [f"level {v}" for v in level], "x": level % 7 + rng.normal(size=n)})
vae = VAETransformer(max_iter=1, random_state=0, max_categories=MAX).fit(X)
assert np.isfinite(vae.score_samples(X[:1000])).all()
assert set(vae.sample(1000, random_state=0)["level"]) <= set(X["level"])
assert len(vae.schema_.columns[0].levels) == 50_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.slow
def test_fifty_thousand_levels_fit_in_two_gigabytes():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("MAX", "100")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(run.stdout) < 2.0


SCORING = """
import resource
import numpy as np
from skvae import VAETransformer

rng = np.random.default_rng(0)
X = rng.normal(size=(100_000, 5)) @ rng.normal(size=(5, 30)) + rng.normal(size=(100_000, 30))
vae = VAETransformer(max_iter=1, random_state=0, n_importance_samples=16).fit(X[:3000])
vae.score_samples(X[:500])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert np.isfinite(vae.score_samples(X)).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""


@pytest.mark.slow
def test_scoring_needs_little_memory():
    """100 000 rows of 30 columns: the input is 24 MB, all else is cut into chunks."""
    run = subprocess.run(
        [sys.executable, "-c", SCORING], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 0.4

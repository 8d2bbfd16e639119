"""Make the files of a version of the format, which must load for ever.

    python tests/files/make_fixtures.py

Run it once for each new version of the format, and never again for an old one.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from frames import arrow_table, pandas_frame, polars_frame, with_missing_cells

from skvae import Ladder, Quantized, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._files.container import FORMAT

FOLDER = Path(__file__).parent / f"format{FORMAT}"
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0}


def estimators():
    pandas = with_missing_cells(pandas_frame(60))
    few = pandas[["float64", "int8", "ordered", "cents", "boolean"]]
    yield "pandas", VAETransformer(2, **QUICK).fit(pandas)
    yield "polars", VAETransformer(2, **QUICK).fit(polars_frame(60, has_missing=True))
    yield "pyarrow", VAETransformer(2, **QUICK).fit(arrow_table(60, has_missing=True))
    array = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    yield "detector", VAEOutlierDetector(2, n_estimators=2, **QUICK).fit(array)
    yield "imputer", VAEImputer(VAETransformer(2, **QUICK)).fit(few)
    yield "flow", VAETransformer(2, latent="flow", prior="flow", **QUICK).fit(few)
    yield "ladder", VAETransformer(2, latent=Ladder(), prior="mixture", **QUICK).fit(few)
    yield "quantized", VAETransformer(2, latent=Quantized(8), **QUICK).fit(few)
    likelihood = {"float64": "normal_mixture", "int8": "binned", "ordered": "ordinal"}
    yield "likelihoods", VAETransformer(2, likelihood=likelihood, **QUICK).fit(few)


def answers(estimator):
    """Some codes, and log p(x | z) of the rows that the decoder expects at them."""
    model = getattr(estimator, "estimator_", estimator).fitted_model_
    z = np.random.default_rng(1).normal(size=(4, len(model.model.latent.shown)))
    rows = model.decode(z)
    encoded = model.encode(rows)
    h = model.model.encode(encoded)
    mean, _ = model.model.latent.moments(h, model.model.prior)
    log_px = model.model.log_px(mean.unsqueeze(0), encoded)[0]
    return {"z": z.tolist(), "log_px": log_px.tolist()}


def main():
    FOLDER.mkdir()
    warnings.simplefilter("ignore")
    for name, estimator in estimators():
        estimator.save(FOLDER / f"{name}.skvae", drop="exemplars" if name == "pyarrow" else None)
        text = json.dumps({**answers(estimator), "repr": repr(estimator)}, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

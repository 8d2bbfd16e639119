"""Every latent × prior × objective, complete and incomplete: each works, or says why not."""

from __future__ import annotations

import numpy as np
import pytest
from frames import pandas_frame, with_missing_cells

from skvae import ELBO, IWAE, VAETransformer
from skvae.latents import LATENTS
from skvae.priors import PRIORS

COLUMNS = ["float64", "Int64", "object", "boolean", "ordered"]
OBJECTIVES = {
    "elbo": ELBO(),
    "warm": ELBO(beta=2.0, warmup=0.5, free_bits=0.05, n_samples=2),
    "score_function": ELBO(gradient="score_function", n_samples=2, free_bits=0.05),
    "iwae": IWAE(3),
}
CODES = [name for name, family in LATENTS.items() if family.has_codes]
REFUSED = {
    (latent, prior, objective): "integer codes"
    for latent in LATENTS for prior in ["auto", *PRIORS] for objective in OBJECTIVES
    if (latent in CODES) != (prior == "autoregressive" or (prior == "auto" and latent in CODES))
    or (latent in CODES and objective == "iwae")
}  # fmt: skip


@pytest.mark.parametrize(
    "has_missing",
    [
        pytest.param(False, id="complete", marks=pytest.mark.slow),
        pytest.param(True, id="incomplete"),
    ],
)
@pytest.mark.parametrize("objective", [
    "elbo", "iwae",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("warm", "score_function")),
])  # fmt: skip
@pytest.mark.parametrize("prior", ["auto", *PRIORS])
@pytest.mark.parametrize("latent", LATENTS)
def test_every_pair_works_or_says_why_not(latent, prior, objective, has_missing):
    frame = pandas_frame(150)
    table = (with_missing_cells(frame) if has_missing else frame)[COLUMNS]
    vae = VAETransformer(
        2, latent=latent, prior=prior, objective=OBJECTIVES[objective], max_iter=3,
        hidden_layer_sizes=(8,), n_importance_samples=8, random_state=0,
    )  # fmt: skip
    if (latent, prior, objective) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[latent, prior, objective]):
            vae.fit(table)
        assert not hasattr(vae, "model_")
        return
    vae.fit(table)
    assert type(vae.latent_) is LATENTS[latent]
    assert prior == "auto" or type(vae.prior_) is PRIORS[prior]
    assert vae.objective_ == OBJECTIVES[objective]
    score = vae.score_samples(table)
    assert np.isfinite(score).all()
    np.testing.assert_array_equal(score, vae.score_samples(table))
    np.testing.assert_allclose(vae.score_samples(table[5:9]), score[5:9], rtol=1e-9)
    assert vae.sample(20, random_state=0).dtypes.equals(table.dtypes)
    assert np.isfinite(vae.transform(table)).all()
    assert np.isfinite(vae.kl_per_unit_).all()

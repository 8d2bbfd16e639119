"""What drawn rows, and a fitted model, tell about the rows that the model was fitted to.

Every number stands beside the same number of rows that the model has not seen: only a difference
between the two is a loss of privacy. None of them is a guarantee.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ._quality import (
    MAX_ROWS,
    Feature,
    closest_distances,
    coordinates,
    copies,
    features_of,
    share_closer,
)

__all__ = ["membership_auc", "privacy_risks"]

N_ATTACKS = 1000  # guesses of each kind
N_CONDITIONS = 3  # columns of a guess about a combination


def privacy_risks(
    real: Any, synthetic: Any, holdout: Any, *, estimator: Any = None, random_state: int = 0
) -> pd.DataFrame:
    r"""What drawn rows tell about the rows of the fitted table, in five numbers.

    =====================  =========================================================================
    row                    meaning
    =====================  =========================================================================
    exact_copies           share of drawn rows that equal a row of `real` in every cell; the
                           reference is the share of `holdout` rows that do
    closest_record         distance from a drawn row to the closest row of `real`, the 5 % quantile,
                           as a proportion of the same quantile of rows of `holdout`: below 1, if
                           drawn rows are closer to the fitted ones than unseen rows are
    closer_to_real         share of drawn rows that are closer to a row of `real` than to one of
                           `holdout`, of which equally many are used: 0.5 if nothing is copied
    singling_out           share of guesses, made from the drawn rows alone, that hold for exactly
                           one row of `real`; the reference is that of `holdout`. A guess is a value
                           that only one drawn row has, an extreme, or the conjunction of the cells
                           of a drawn row in three columns (numbers: at least, or at most, that
                           value)
    membership_auc         with `estimator`: :func:`membership_auc`
    =====================  =========================================================================

    Parameters
    ----------
    real : table of shape (n_samples, n_features)
        The rows that the model was fitted to.
    synthetic : table of shape (n_drawn, n_features)
        Rows that were drawn, with the same columns.
    holdout : table of shape (n_other, n_features)
        Rows of the same kind that the model has not seen.
    estimator : VAETransformer, VAEOutlierDetector or None, default=None
        The fitted model, if it is to be given away, too.
    random_state : int, default=0
        Seed of the guesses, and of the rows that are used: at most 5 000 of each table.

    Returns
    -------
    risks : DataFrame
        "value", and the "reference" that rows without any relation to `real` would have.

    Raises
    ------
    ValueError
        If the tables have other columns.

    See Also
    --------
    skvae.diagnostics.sample_quality : How like real rows drawn rows are.

    References
    ----------
    Giomi et al. (2023), A Unified Framework for Quantifying Privacy Risk in Synthetic Data,
    arXiv:2211.10459 (singling out against a control). Zhang et al. (2024), Mixed-Type Tabular Data
    Synthesis with Score-based Diffusion in Latent Space, arXiv:2310.09656 (the share that is
    closer).

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.privacy import privacy_risks
    >>> X = np.random.default_rng(0).normal(size=(600, 3))
    >>> vae = VAETransformer(1, max_iter=10, random_state=0).fit(X[:300])
    >>> risks = privacy_risks(X[:300], vae.sample(300, random_state=0), X[300:], estimator=vae)
    >>> risks.loc["exact_copies", "value"].item()
    0.0
    >>> bool(risks.loc["membership_auc", "value"] < 0.7)
    True
    """
    features = features_of([real, synthetic, holdout])
    rng = np.random.default_rng(random_state)
    rows = {
        "exact_copies": (copies(features, 1).mean(), copies(features, 2).mean()),
        "closest_record": (_closest_record(features, rng), 1.0),
        "closer_to_real": (share_closer(features, random_state), 0.5),
        "singling_out": _singling_out(features, rng),
    }
    if estimator is not None:
        rows["membership_auc"] = membership_auc(estimator, real, holdout), 0.5
    return pd.DataFrame(rows, index=["value", "reference"]).T.astype(float)


def membership_auc(estimator: Any, members: Any, others: Any) -> float:
    """How well the log-density of a fitted model tells the fitted rows from others.

    An attacker who has the model and a row may guess that the row was in the fitted table if its
    log-density is high. This is the area under the ROC curve of that guess: 0.5 if it is no better
    than chance, 1 if it is always right.

    Parameters
    ----------
    estimator : VAETransformer or VAEOutlierDetector
        The fitted model.
    members : table of shape (n_samples, n_features)
        Rows that the model was fitted to.
    others : table of shape (n_other, n_features)
        Rows of the same kind that it has not seen.

    Returns
    -------
    auc : float
        In [0, 1].

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.

    References
    ----------
    Yeom et al. (2018), Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting,
    arXiv:1709.01604. Hilprecht, Härterich & Bernau (2019), Monte Carlo and Reconstruction
    Membership Inference Attacks against Generative Models.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.privacy import membership_auc
    >>> X = np.random.default_rng(0).normal(size=(600, 3))
    >>> vae = VAETransformer(1, max_iter=10, prior="mixture", random_state=0).fit(X[:300])
    >>> bool(0.4 < membership_auc(vae, X[:300], X[300:]) < 0.6)
    True
    """
    from sklearn.metrics import roc_auc_score

    check_is_fitted(estimator)
    scores = [np.asarray(estimator.score_samples(X)) for X in (members, others)]
    truth = np.repeat([1, 0], [len(each) for each in scores])
    return float(roc_auc_score(truth, np.concatenate(scores)))


def _closest_record(features: list[Feature], rng: np.random.Generator) -> float:
    """5 % quantile of the distances to real rows: of drawn rows, divided by that of others."""
    points = [each[rng.permutation(len(each))[:MAX_ROWS]] for each in coordinates(features)]
    real, drawn, other = points
    quantiles = [np.quantile(closest_distances(each, real), 0.05) for each in (drawn, other)]
    if quantiles[1] == 0:  # unseen rows coincide with fitted ones: so may drawn rows
        return 1.0
    return float(quantiles[0] / quantiles[1])


# ----------------------------------------------------------------------------- singling out

Condition = tuple[int, str, float]  # position of the column, "equal", "least" or "most", value


def _singling_out(features: list[Feature], rng: np.random.Generator) -> tuple[float, float]:
    """Shares of the guesses that hold for exactly one real row, and for one row held out.

    As many rows of each are used, since a guess holds for more rows of a larger table.
    """
    n = min(len(features[0].values[0]), len(features[0].values[2]))
    rows = [rng.permutation(len(features[0].values[table]))[:n] for table in (0, 2)]
    tables = [[feature.values[table][some] for feature in features]
              for table, some in zip((0, 2), rows, strict=True)]  # fmt: skip
    guesses = [*_values(features, rng), *_combinations(features, rng)]
    if not guesses:
        return 0.0, 0.0
    found = [np.mean([_count(table, guess) == 1 for guess in guesses]) for table in tables]
    return float(found[0]), float(found[1])


def _values(features: list[Feature], rng: np.random.Generator) -> list[list[Condition]]:
    """Extremes of the drawn numbers, and values that one drawn row alone has."""
    guesses: list[list[Condition]] = []
    for j, feature in enumerate(features):
        drawn = feature.values[1][~np.isnan(feature.values[1])]
        values, counts = np.unique(drawn, return_counts=True)
        if not feature.is_level and len(values):
            guesses += [[(j, "most", values[0])], [(j, "least", values[-1])]]
        guesses += [[(j, "equal", value)] for value in values[counts == 1]]
    return [guesses[i] for i in rng.permutation(len(guesses))[:N_ATTACKS]]


def _combinations(features: list[Feature], rng: np.random.Generator) -> list[list[Condition]]:
    """Cells of drawn rows in some columns, as conditions on a row."""
    n_rows, n_columns = len(features[0].values[1]), len(features)
    medians = [np.nan if f.is_level else np.nanmedian(f.values[1]) if (~np.isnan(f.values[1])).any()
               else np.nan for f in features]  # fmt: skip
    guesses = []
    for row in rng.integers(n_rows, size=N_ATTACKS):
        some = rng.permutation(n_columns)[:N_CONDITIONS]
        guess: list[Condition] = []
        for j in map(int, some):
            value = features[j].values[1][row]
            if np.isnan(value):
                continue
            side = "least" if value >= medians[j] else "most"
            guess.append((j, "equal" if features[j].is_level else side, value))
        if guess:
            guesses.append(guess)
    return guesses


def _count(columns: list[np.ndarray], guess: list[Condition]) -> int:
    """For how many rows all conditions hold."""
    compare = {"equal": np.equal, "least": np.greater_equal, "most": np.less_equal}
    holds = [compare[how](columns[j], value) for j, how, value in guess]
    return int(np.logical_and.reduce(holds).sum())

"""Codes of rows with missing cells, by an encoder that has seen complete rows alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .rows import Rows

if TYPE_CHECKING:
    from .vae import VAE

N_ROUNDS = 8  # of tables whose columns nearly determine each other the error falls by half in each


@torch.no_grad()
def filled(model: VAE, rows: Rows) -> Rows:
    """The rows, with what the model expects in the missing cells, for the encoder.

    In each round the cells are those that the decoder gives for the code of the row as it is. To an
    encoder that was trained on complete rows alone, a zero in place of a missing value is a value
    like any other, and the code that it gives such a row may be far off. The flags of missing
    cells, which widen the posterior from the start of training, stay.

    References
    ----------
    Rezende, Mohamed & Wierstra (2014), Stochastic Backpropagation and Approximate Inference in Deep
    Generative Models, arXiv:1401.4082 (imputation by rounds of encoding and decoding).
    """
    assert rows.missing is not None
    some = torch.nonzero(rows.missing.any(1)).squeeze(1)
    part = rows.take(some)
    sizes = [rows.values.shape[1], rows.codes.shape[1]]
    in_values, in_codes = rows.missing[some].split(sizes, 1)
    for _ in range(N_ROUNDS):
        h = model.encoder(model.inputs(part.values, part.codes, part.missing))
        values, codes = model.decode(model.latent.embed(h, model.prior))
        values = torch.where(in_values, values.to(part.values), part.values)
        part = replace(part, values=values, codes=torch.where(in_codes, codes, part.codes))
    values, codes = rows.values.clone(), rows.codes.clone()
    values[some], codes[some] = part.values, part.codes
    return replace(rows, values=values, codes=codes)

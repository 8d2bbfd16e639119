"""Latent codes with their log-densities."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Lazy = Tensor | Callable[[], Tensor]  # a tensor, or a function that computes it when needed


class Draw:
    """Latent codes with their log-densities: all that an objective needs.

    Parameters
    ----------
    z : Tensor of shape (n_samples, n_rows, n_components)
        Latent codes.
    log_pz : Tensor of shape (n_samples, n_rows), or callable
        log p(z), as a function of z. A callable is called when the value is first used.
    log_qz : Tensor of shape (n_samples, n_rows), or callable
        log q(z | x). A callable is called when the value is first used.
    kl : Tensor of shape (n_rows, n_parts) or None, default=None
        KL(q(z | x) ‖ p(z)) where it has a closed form, in parts (dimensions) that add up. In a
        ladder, the closed form of a layer below the top is conditional on the layer above.
    penalty : Tensor of shape (n_rows,) or None, default=None
        A term that the latent family subtracts from the bound, such as a commitment loss.
    path_log_qz : callable or None, default=None
        Computes log q(z | x) with the parameters of q held fixed, so that its gradient flows
        along the path through z alone. None where this would cost much more than the draw.

    References
    ----------
    Roeder, Wu & Duvenaud (2017), Sticking the Landing, arXiv:1703.09194 (``path_log_qz``).

    Examples
    --------
    >>> import torch
    >>> from skvae.latents import Draw
    >>> draw = Draw(torch.zeros(1, 2, 3), log_pz=lambda: torch.ones(1, 2), log_qz=torch.zeros(1, 2))
    >>> draw.log_pz
    tensor([[1., 1.]])
    """

    def __init__(
        self,
        z: Tensor,
        log_pz: Lazy,
        log_qz: Lazy,
        *,
        kl: Tensor | None = None,
        penalty: Tensor | None = None,
        path_log_qz: Callable[[], Tensor] | None = None,
    ) -> None:
        self.z, self.kl, self.penalty, self.path_log_qz = z, kl, penalty, path_log_qz
        self._log_pz, self._log_qz = log_pz, log_qz

    @property
    def log_pz(self) -> Tensor:
        """log p(z), (n_samples, n_rows)."""
        if callable(self._log_pz):
            self._log_pz = self._log_pz()
        return self._log_pz

    @property
    def log_qz(self) -> Tensor:
        """log q(z | x), (n_samples, n_rows)."""
        if callable(self._log_qz):
            self._log_qz = self._log_qz()
        return self._log_qz

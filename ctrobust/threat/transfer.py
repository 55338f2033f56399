"""Transfer: made on one reconstructor, used on another."""

from dataclasses import dataclass, replace

from torch import Tensor

from ctrobust.threat.adversary import Adversary
from ctrobust.threat.ascent import Reconstructor


@dataclass(frozen=True)
class Transfer:
    """The δ that `attack` finds on `surrogate`, which takes the same y, whatever f is.

    Where it hurts f nearly as much as f's own, knowing f is no protection; a defence that it breaks although f's own
    gradient does not hides its gradient (Athalye, Carlini, Wagner, ICML 2018).
    """

    attack: Adversary
    surrogate: Reconstructor

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.attack(self.surrogate, y, x, start)

    def with_eps(self, eps: float) -> "Transfer":
        """The same in a budget of another size."""
        return replace(self, attack=self.attack.with_eps(eps))

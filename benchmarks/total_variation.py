"""At the same objective, is our TV as good and as quick as scikit-image (denoising) and ODL (tomography)?

    python benchmarks/total_variation.py            (ODL: pip install odl; left out where it is absent)

Every solver gets the same data and the same objective, ½‖A x − y‖² + w·TV(x) with forward differences; ODL gets our own
operator, one slice and one numpy call at a time. The lowest objective that anyone reaches in a long run counts as the
optimum. What is printed: how far above it each is after so many iterations, and the time an iteration takes as a
multiple of ours in the same run.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from skimage.data import shepp_logan_phantom
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import resize
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.reconstruct.total_variation import operator_norm, total_variation, variation

SIZE, VIEWS = 128, 36
LONG = 5000


class Identity:
    def __call__(self, x: Tensor) -> Tensor:
        return x

    def T(self, y: Tensor) -> Tensor:
        return y


def main() -> None:
    truth = torch.from_numpy(resize(shepp_logan_phantom(), (SIZE, SIZE), anti_aliasing=True))[None, None]
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0), dtype=truth.dtype)
    print("denoising: percent above the optimum after 50, 200 and 1000 iterations; time of one, ours = 1")
    for weight in (0.05, 0.2):
        noisy = truth + 0.1 * noise
        compare(Identity(), noisy, weight, {"scikit-image": scikit_image(noisy, weight)}, (50, 200, 1000))
    print("\ntomography, 128x128, 36 views, 1 % noise: after 50, 200 and 500 iterations")
    A = Projector(ParallelBeam(SIZE, VIEWS))
    y = A(truth)
    y = y + 0.01 * y.norm() * torch.randn(
        y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype
    ) / (y.numel() ** 0.5)
    for weight in (0.1, 1.0):
        compare(A, y, weight, odl_solvers(A, y, weight), (50, 200, 500))


def compare(
    A: Any, y: Tensor, weight: float, peers: dict[str, Callable[[int], Tensor]], marks: tuple[int, ...]
) -> None:
    def ours(iterations: int) -> Tensor:
        return total_variation(A, y, weight=weight, iterations=iterations, tolerance=0).x

    def objective(x: Tensor) -> float:
        return float((A(x) - y).square().sum() / 2 + weight * variation(x).sum())

    solvers = {"ctrobust": ours} | peers
    reached, seconds = {}, {}
    for name, solve in solvers.items():
        reached[name] = [objective(solve(count)) for count in marks]
        begin = time.perf_counter()
        solve(marks[-1])
        seconds[name] = (time.perf_counter() - begin) / marks[-1]
    optimum = min(objective(ours(LONG)), *(value for values in reached.values() for value in values))
    print(f"weight {weight:g}, optimum {optimum:.6g}")
    for name, values in reached.items():
        above = "".join(f"{100 * (value / optimum - 1):12.4f}" for value in values)
        print(f"  {name:14}{above}   x {seconds[name] / seconds['ctrobust']:.2f}")


def scikit_image(noisy: Tensor, weight: float) -> Callable[[int], Tensor]:
    def solve(iterations: int) -> Tensor:
        image = noisy[0, 0].numpy()
        found = denoise_tv_chambolle(image, weight=weight, eps=0, max_num_iter=iterations)
        return torch.from_numpy(found)[None, None]

    return solve


def odl_solvers(A: Projector, y: Tensor, weight: float) -> dict[str, Callable[[int], Tensor]]:
    """ODL's PDHG with the steps its documentation advises, from the norm of the stacked operator."""
    try:
        import odl
    except ImportError as missing:
        print(f"ODL: left out ({missing})")
        return {}
    rows, columns = A.image_shape
    space = odl.uniform_discr([0, 0], [rows, columns], A.image_shape)
    data = odl.rn(A.sinogram_shape)

    class Ours(odl.Operator):  # type: ignore[misc]
        def __init__(self, transposed: bool = False) -> None:
            self.transposed = transposed
            super().__init__(*((data, space) if transposed else (space, data)), linear=True)

        def _call(self, element: Any) -> Any:
            batch = torch.from_numpy(element.asarray())[None, None]
            return (A.T(batch) if self.transposed else A(batch))[0, 0].numpy()

        @property
        def adjoint(self) -> "Ours":
            return Ours(not self.transposed)

    slopes = odl.Gradient(space, method="forward", pad_mode="symmetric")
    stacked = odl.BroadcastOperator(Ours(), slopes)
    misfit = 0.5 * odl.functionals.L2NormSquared(data).translated(data.element(y[0, 0].numpy()))
    rough = weight * odl.functionals.GroupL1Norm(slopes.range)
    norm = (operator_norm(A, A.T(y)) ** 2 + 8) ** 0.5

    def solve(iterations: int) -> Tensor:
        x = space.zero()
        odl.solvers.pdhg(
            x,
            odl.functionals.ZeroFunctional(space),
            odl.functionals.SeparableSum(misfit, rough),
            stacked,
            niter=iterations,
            tau=1 / norm,
            sigma=0.99 / norm,
        )
        return torch.from_numpy(x.asarray().copy())[None, None]

    return {"ODL": solve}


if __name__ == "__main__":
    main()

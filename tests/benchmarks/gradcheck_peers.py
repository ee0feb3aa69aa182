"""bncli gradcheck beside the checkers people use: seconds, forwards, memory, and bugs caught.

Needs torch, jax and scipy. Run by hand: ``python tests/benchmarks/gradcheck_peers.py``; prints a
table in Markdown. Each check runs in a process of its own, at the largest size that its checker
does in reasonable time; the one flipped pixel is the last.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np

SIZES = {
    "bncli gradcheck": (5, 100, 100, 3),
    "torch gradcheck, slow": (5, 16, 16, 3),
    "torch gradcheck, fast": (5, 100, 100, 3),
    "jax check_grads": (5, 100, 100, 3),
    "scipy check_grad, all": (5, 32, 32, 3),
    "scipy check_grad, random": (5, 100, 100, 3),
}
BUGS = ("none", "constant", "published", "variance", "mean", "ddof", "eps", "pixel")
HEADS = (
    "right layer",
    "right, with a constant pixel",
    "published formula",
    "no variance term",
    "no mean term",
    "ddof=1 in backward",
    "eps outside the root",
    "one pixel flipped",
)
EPS = 1e-8
LIMIT = 150


def coefficients(bug, shape):
    batch, pixels = shape[0], int(np.prod(shape[1:]))
    return {
        "published": (1 / pixels, batch / pixels),
        "variance": (1, 0),
        "mean": (0, 1),
        "ddof": (1, batch / (batch - 1)),
    }.get(bug, (1, 1))


def backward(np_, delta, x_norm, inv_std, variance, gamma, bug, shape):
    """The three gradients, with a bug, in numpy, torch or jax."""
    b, c = coefficients(bug, shape)
    if bug == "eps":
        outside = 1 / (np_.sqrt(variance) + EPS)
        x_norm, inv_std = x_norm / inv_std * outside, outside
    mean = delta.mean(0)
    along = x_norm * (delta * x_norm).mean(0)
    dx = gamma * inv_std * (delta - b * mean - c * along)
    if bug == "pixel":
        sign = np.ones(shape[1:])
        sign[-1, -1, -1] = -1
        dx = dx * (np_.from_numpy(sign) if hasattr(np_, "from_numpy") else sign)
    return dx, (delta * x_norm).sum(0), delta.sum(0)


def numbers(shape, bug):
    rng = np.random.default_rng(1)
    x = rng.random(shape)
    if bug == "constant":
        x[:, 0, 0, 0] = 0.5
    return x, rng.uniform(0.5, 1.5, shape[1:]), rng.random(shape[1:]), rng.standard_normal(shape)


def forward(np_, x, gamma, beta):
    centred = x - x.mean(0)
    variance = (centred * centred).mean(0)
    inv_std = 1 / np_.sqrt(variance + EPS)
    return gamma * (centred * inv_std) + beta, centred * inv_std, inv_std, variance


def by_bncli(shape, bug):
    from bncli import gradcheck

    class Layer:
        def __init__(self, gamma, beta):
            self.gamma, self.beta = gamma, beta

        def forward(self, x):
            output, self.x_norm, self.inv_std, self.variance = forward(np, x, self.gamma, self.beta)
            return output

        def backward(self, delta):
            dx, self.dgamma, self.dbeta = backward(
                np, delta, self.x_norm, self.inv_std, self.variance, self.gamma, bug, delta.shape
            )
            return dx

    report = gradcheck(Layer, numbers(shape, bug)[0])
    return report.passed, report.forwards


def by_torch(shape, bug, *, fast):
    import torch

    calls = [0]

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, gamma, beta):
            calls[0] += 1
            output, *kept = forward(torch, x, gamma, beta)
            ctx.save_for_backward(*kept, gamma)
            return output

        @staticmethod
        def backward(ctx, delta):
            x_norm, inv_std, variance, gamma = ctx.saved_tensors
            return backward(torch, delta, x_norm, inv_std, variance, gamma, bug, shape)

    if fast:
        # Where fast mode fails it runs slow mode once more, for its message: 180 GB at this size.
        module = sys.modules["torch.autograd.gradcheck"]
        module._run_slow_mode_and_get_error = lambda *_arguments: "it is wrong"
    torch.manual_seed(0)
    leaves = [torch.from_numpy(a).requires_grad_() for a in numbers(shape, bug)[:3]]
    passed = torch.autograd.gradcheck(Function.apply, leaves, fast_mode=fast, raise_exception=False)
    return passed, calls[0]


def by_jax(shape, bug):
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)  # noqa: FBT003 - its signature
    calls = [0]

    @jax.custom_vjp
    def layer(x, gamma, beta):
        calls[0] += 1
        return forward(jnp, x, gamma, beta)[0]

    def ahead(x, gamma, beta):
        calls[0] += 1
        output, *kept = forward(jnp, x, gamma, beta)
        return output, (*kept, gamma)

    def back(kept, delta):
        x_norm, inv_std, variance, gamma = kept
        return backward(jnp, delta, x_norm, inv_std, variance, gamma, bug, shape)

    layer.defvjp(ahead, back)
    try:
        check_grads(layer, [jnp.asarray(a) for a in numbers(shape, bug)[:3]], 1, modes=["rev"])
    except AssertionError:
        return False, calls[0]
    return True, calls[0]


def by_scipy(shape, bug, *, direction):
    from scipy.optimize import check_grad

    x, gamma, beta, delta = numbers(shape, bug)
    calls = [0]

    def loss(flat):
        calls[0] += 1
        return float((delta * forward(np, flat.reshape(shape), gamma, beta)[0]).sum())

    def gradient(flat):
        _, *kept = forward(np, flat.reshape(shape), gamma, beta)
        return backward(np, delta, *kept, gamma, bug, shape)[0].ravel()

    named = {"direction": direction}
    if direction == "random":
        named["rng"] = 0
    error = check_grad(loss, gradient, x.ravel(), **named)
    size = np.linalg.norm(gradient(x.ravel()))
    # It leaves the verdict to its user; 1e-4 of the norm is a usual one.
    return bool(error <= 1e-4 * size), calls[0]


RUNS = {
    "bncli gradcheck": by_bncli,
    "torch gradcheck, slow": lambda shape, bug: by_torch(shape, bug, fast=False),
    "torch gradcheck, fast": lambda shape, bug: by_torch(shape, bug, fast=True),
    "jax check_grads": by_jax,
    "scipy check_grad, all": lambda shape, bug: by_scipy(shape, bug, direction="all"),
    "scipy check_grad, random": lambda shape, bug: by_scipy(shape, bug, direction="random"),
}


def one(peer, bug):
    """Run one check in this process, and say what happened as JSON."""
    small = (3, 2, 2, 1)
    RUNS[peer](small, "none")  # imports and compilation are not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    passed, forwards = RUNS[peer](SIZES[peer], bug)
    seconds = time.perf_counter() - began
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    json.dump([passed, forwards, seconds, megabytes], sys.stdout)


def asked(peer, bug):
    try:
        done = subprocess.run(
            [sys.executable, __file__, peer, bug], capture_output=True, timeout=LIMIT, check=False
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return None


def table():
    words = sys.stdout.write
    heads = ("checker", "batch", "seconds", "forwards", "MB", *HEADS)
    words("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n")
    for peer, shape in SIZES.items():
        results = [asked(peer, bug) for bug in BUGS]
        first = results[0]
        facts = ["-"] * 3 if first is None else [f"{first[2]:.2f}", first[1], f"{first[3]:.0f}"]
        row = [peer, "x".join(map(str, shape)), *facts]
        for bug, result in zip(BUGS, results, strict=True):
            right = bug in {"none", "constant"}
            if result is None:
                row.append("gave up")
            elif right:
                row.append("passes" if result[0] else "**false alarm**")
            else:
                row.append("**missed**" if result[0] else "caught")
        words("| " + " | ".join(map(str, row)) + " |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(*sys.argv[1:])
    else:
        table()

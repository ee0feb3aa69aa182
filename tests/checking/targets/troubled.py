"""Layers with which something other than the formula is amiss."""

import contextlib
import os
import subprocess
import sys
import time

import numpy as np


class Right:
    eps = 1e-8
    ddof = 0

    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def inv_std(self, variance):
        return 1 / np.sqrt(variance + self.eps)

    def forward(self, x):
        variance = x.var(axis=0, ddof=self.ddof)
        self.inverse = self.inv_std(variance)
        self.x_norm = (x - x.mean(axis=0)) * self.inverse
        return self.gamma * self.x_norm + self.beta

    def backward(self, dout):
        count = len(dout) - self.ddof
        self.dbeta = dout.sum(axis=0)
        self.dgamma = (dout * self.x_norm).sum(axis=0)
        along = self.x_norm * (self.dgamma / count)
        return self.gamma * self.inverse * (dout - self.dbeta / len(dout) - along)


class Unbiased(Right):
    ddof = 1


class Inference(Right):
    def backward(self, dout):
        super().backward(dout)
        return self.gamma * self.inverse * dout


class EpsOutside(Right):
    """Consistent: the backward follows the forward."""

    def inv_std(self, variance):
        return 1 / (np.sqrt(variance) + self.eps)

    def backward(self, dout):
        self.dbeta = dout.sum(axis=0)
        self.dgamma = (dout * self.x_norm).sum(axis=0)
        # The derivative of the root has the variance alone below, not variance + eps.
        std = 1 / self.inverse - self.eps
        factor = np.divide(1, self.inverse * std, out=np.zeros_like(std), where=std > 1e-20)
        along = self.x_norm * factor * self.dgamma / len(dout)
        return self.gamma * self.inverse * (dout - self.dbeta / len(dout) - along)


class HiddenEps(Right):
    """Says nothing of its eps, and uses another than the standard."""

    eps = 0

    def inv_std(self, variance):
        return 1 / np.sqrt(variance + 1e-5)


class Hangs(Right):
    def backward(self, dout):
        time.sleep(60)


class HangsInForward(Right):
    def forward(self, x):
        while True:
            pass


class LeavesProcess(Right):
    """Ends, and leaves one behind that holds its output open."""

    def backward(self, dout):
        subprocess.Popen(["sleep", "60"])
        os._exit(9)


class HangsWithProcess(Right):
    def backward(self, dout):
        subprocess.run(["sleep", "60"], check=False)


class Interrupts(Right):
    def backward(self, dout):
        raise KeyboardInterrupt("all by myself")


class CallsExit(Right):
    def backward(self, dout):
        sys.exit(7)


class EndsProcess(Right):
    def backward(self, dout):
        os._exit(9)


class Crashes(Right):
    def backward(self, dout):
        os.abort()


class RaisesLater(Right):
    """Works on the few numbers it is tried on first, and not with a constant pixel."""

    def backward(self, dout):
        if (self.inverse > 9e3).any():
            raise ArithmeticError("this is too small for me")
        return super().backward(dout)


class RaisesAlways(Right):
    def forward(self, x):
        raise RuntimeError("[bold]no[/bold] \x1b[31mway")


class NaNGradient(Right):
    def backward(self, dout):
        return super().backward(dout) * np.nan


class NaNForward(Right):
    def inv_std(self, variance):
        return 1 / np.sqrt(variance) - 0 * variance


class WrongShape(Right):
    def backward(self, dout):
        return super().backward(dout)[:, :1]


class WrongGammaShape(Right):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dgamma = self.dgamma.sum(axis=2)
        return dx


class GivesNone(Right):
    def backward(self, dout):
        super().backward(dout)


class Integers(Right):
    def backward(self, dout):
        return np.rint(super().backward(dout)).astype(int)


class IntegerForward(Right):
    def forward(self, x):
        return np.rint(super().forward(x).real * 100).astype(int)


class Mutates(Right):
    def forward(self, x):
        output = super().forward(x)
        x[...] = 0
        return output


class SharesItsOutput(Right):
    """Every layer of the class writes into one array."""

    outputs = {}  # noqa: RUF012 - that it is shared is the point

    def forward(self, x):
        output = super().forward(x)
        shared = self.outputs.setdefault((output.shape, output.dtype), np.empty_like(output))
        shared[...] = output
        return shared


class AsksForInput(Right):
    def forward(self, x):
        with contextlib.suppress(EOFError):
            input()
        return super().forward(x)


class Dropout(Right):
    rng = np.random.default_rng(3)

    def forward(self, x):
        return super().forward(x) * self.rng.uniform(0.5, 1.5, x.shape)


class Casts(Right):
    """Drops the imaginary part."""

    def forward(self, x):
        return super().forward(np.real(np.asarray(x)).astype(np.float64))


class CastsToSingle(Right):
    def forward(self, x):
        return super().forward(np.real(np.asarray(x)).astype(np.float32))


class TrapsComplex(Right):
    """numpy's variance of plain complex numbers is no analytic function."""

    def forward(self, x):
        return super().forward(np.asarray(x))


class TrapsComplexAndForgets(TrapsComplex):
    """The gradient that a complex step would call right here."""

    def backward(self, dout):
        dx = super().backward(dout)
        return dx + self.gamma * self.inverse * self.x_norm * self.dgamma / len(dout)


class LayerNorm:
    def __init__(self, gamma, beta, eps=1e-8):
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x):
        axes = (1, 2, 3)
        self.inverse = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + self.eps)
        self.x_norm = (x - x.mean(axis=axes, keepdims=True)) * self.inverse
        return self.gamma * self.x_norm + self.beta

    def backward(self, dout):
        axes = (1, 2, 3)
        self.dgamma, self.dbeta = (dout * self.x_norm).sum(axis=0), dout.sum(axis=0)
        scaled = dout * self.gamma
        along = self.x_norm * (scaled * self.x_norm).mean(axis=axes, keepdims=True)
        return self.inverse * (scaled - scaled.mean(axis=axes, keepdims=True) - along)


class WrongLayerNorm(LayerNorm):
    def backward(self, dout):
        dx = super().backward(dout)
        return dx + 0.01


class Leaks(Right):
    """Pixel (2, 3, 1) takes a little of pixel (0, 1, 0)."""

    def forward(self, x):
        output = super().forward(x)
        output[:, 2, 3, 1] = output[:, 2, 3, 1] + 1e-3 * x[:, 0, 1, 0]
        return output


class Clips(Right):
    """x_norm is cut off at 0, which is where it stands at a constant pixel."""

    def forward(self, x):
        super().forward(x)
        self.mask = np.real(np.asarray(self.x_norm)) > 0
        return self.gamma * self.x_norm * self.mask + self.beta

    def backward(self, dout):
        dx = super().backward(dout * self.mask)
        self.dbeta = dout.sum(axis=0)
        return dx


class Accumulates(Right):
    def __init__(self, gamma, beta):
        super().__init__(gamma, beta)
        self.total = 0

    def backward(self, dout):
        self.total = self.total + super().backward(dout)
        return self.total


class Climbs(Right):
    def update(self, lr=0.01):
        self.gamma = self.gamma + lr * self.dgamma
        self.beta = self.beta - lr * self.dbeta


class OtherNames:
    """No name in it is one that is known."""

    def __init__(self, stretch, lift):
        self.inner = Right(stretch, lift)

    def forward(self, x):
        return self.inner.forward(x)

    def backward(self, dout):
        gradient = self.inner.backward(dout)
        self.slope_of_stretch, self.slope_of_lift = self.inner.dgamma, self.inner.dbeta
        return gradient


class NoBackward:
    def forward(self, x):
        return x


class OnePixelOfMany(Right):
    """Wrong at one pixel, and there only in large pictures."""

    def backward(self, dout):
        dx = super().backward(dout)
        if dx.shape[1:] == (100, 100, 3):
            dx[:, 17, 83, 2] *= -1
        return dx

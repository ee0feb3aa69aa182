"""Layers as people write them: each a style of its own, all of the same few formulas."""

import copy

import numpy as np


def normalized(x, axes, eps):
    root = np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return (x - x.mean(axis=axes, keepdims=True)) / root, root


def through(g, hat, root, axes):
    mean = g.mean(axis=axes, keepdims=True)
    return (g - mean - hat * (g * hat).mean(axis=axes, keepdims=True)) / root


class Plain:
    """gamma and beta as arguments, gradients as attributes."""

    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, self.eps)
        return self.gamma * self.hat + self.beta

    def backward(self, g):
        self.dgamma, self.dbeta = (g * self.hat).sum(axis=0), g.sum(axis=0)
        return through(self.gamma * g, self.hat, self.root, 0)


class RowsOnly(Plain):
    """forward takes any shape, backward rows alone."""

    def backward(self, g):
        _rows, _columns = g.shape
        return super().backward(g)


class Width:
    """The constructor takes a width; everything is (1, D)."""

    def __init__(self, n_neurons, epsilon=1e-5, momentum=0.9):
        self.weights, self.biases = np.ones((1, n_neurons)), np.zeros((1, n_neurons))
        self.epsilon, self.momentum = epsilon, momentum
        self.running_mean, self.running_var = np.zeros((1, n_neurons)), np.ones((1, n_neurons))

    def forward(self, inputs, training=False):
        if not training:
            return (
                self.weights
                * (inputs - self.running_mean)
                / np.sqrt(self.running_var + self.epsilon)
                + self.biases
            )
        self.running_mean = 0.9 * self.running_mean + 0.1 * inputs.mean(axis=0, keepdims=True)
        self.hat, self.root = normalized(inputs, 0, self.epsilon)
        self.output = self.weights * self.hat + self.biases
        return self.output

    def backward(self, dvalues):
        self.dweights = (dvalues * self.hat).sum(axis=0, keepdims=True)
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        self.dinputs = through(self.weights * dvalues, self.hat, self.root, 0)


class WidthWithoutMean(Width):
    """The same, its mean term forgotten."""

    def backward(self, dvalues):
        super().backward(dvalues)
        g = self.weights * dvalues
        self.dinputs = (g - self.hat * (g * self.hat).mean(axis=0, keepdims=True)) / self.root


class InDicts:
    """Parameters and gradients in dicts, made by the first forward."""

    def __init__(self, eps=1e-5):
        self.eps, self.params, self.grads = eps, {}, {}

    def forward(self, x):
        if not self.params:
            self.params = {"g": np.ones(x.shape[1:]), "b": np.zeros(x.shape[1:])}
        self.hat, self.root = normalized(x, 0, self.eps)
        return self.params["g"] * self.hat + self.params["b"]

    def reduced(self, a):
        return a.sum(axis=0)

    def backward(self, g):
        self.grads["g"], self.grads["b"] = self.reduced(g * self.hat), self.reduced(g)
        return through(self.params["g"] * g, self.hat, self.root, 0)


class MeansInDicts(InDicts):
    """The same, with means where sums belong."""

    def reduced(self, a):
        return a.mean(axis=0)


class Box:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class InObjects:
    """Parameters that are objects, in a list; gradients added up."""

    def __init__(self, dim, eps=1e-5):
        self.parameters = [Box(np.ones(dim)), Box(np.zeros(dim))]
        self.eps = eps

    def __call__(self, x):
        self.hat, self.root = normalized(x, 0, self.eps)
        return self.parameters[0].value * self.hat + self.parameters[1].value

    def backprop(self, grad):
        self.parameters[0].grad += (grad * self.hat).sum(axis=0)
        self.parameters[1].grad += grad.sum(axis=0)
        return through(self.parameters[0].value * grad, self.hat, self.root, 0)


class Guarded:
    """gamma can be had and set through a property alone, which checks the shape."""

    def __init__(self, shape, eps=1e-5):
        self._gamma, self._beta, self.eps = np.ones(shape), np.zeros(shape), eps

    @property
    def gamma(self):
        return self._gamma

    @gamma.setter
    def gamma(self, value):
        if value.shape != self._gamma.shape:
            raise ValueError("wrong shape")
        self._gamma = value

    def feedforward(self, a):
        self.hat, self.root = normalized(a, 0, self.eps)
        return self._gamma * self.hat + self._beta

    def derive(self, e):
        self._dgamma, self._dbeta = (e * self.hat).sum(axis=0), e.sum(axis=0)
        return through(self._gamma * e, self.hat, self.root, 0)


class Learner:
    """backward takes the learning rate, and its step."""

    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward_pass(self, x, is_training):
        self.hat, self.root = normalized(x, 0, 1e-5 if is_training else 1.0)
        return self.gamma * self.hat + self.beta

    def backward_pass(self, grad, lr):
        dx = through(self.gamma * grad, self.hat, self.root, 0)
        self.gamma = self.gamma - lr * (grad * self.hat).sum(axis=0)
        self.beta = self.beta - lr * grad.sum(axis=0)
        return dx


class Optimized:
    """Gradients go into optimizers, which initialize() brings."""

    def __init__(self, momentum=0.99):
        self.eps, self.trainable = 0.01, True

    def set_input_shape(self, shape):
        self.input_shape = shape

    def initialize(self, optimizer):
        self.gamma, self.beta = np.ones(self.input_shape), np.zeros(self.input_shape)
        self.gamma_opt, self.beta_opt = copy.copy(optimizer), copy.copy(optimizer)

    def forward_pass(self, X, training=True):
        self.hat, self.root = normalized(X, 0, self.eps)
        return self.gamma * self.hat + self.beta

    def backward_pass(self, accum_grad):
        gamma = self.gamma
        self.gamma = self.gamma_opt.update(self.gamma, (accum_grad * self.hat).sum(axis=0))
        self.beta = self.beta_opt.update(self.beta, accum_grad.sum(axis=0))
        return through(gamma * accum_grad, self.hat, self.root, 0)


class OptimizedWithMeans(Optimized):
    """The same, with a mean for gamma."""

    def backward_pass(self, accum_grad):
        gamma = self.gamma
        self.gamma = self.gamma_opt.update(self.gamma, (accum_grad * self.hat).mean(axis=0))
        self.beta = self.beta_opt.update(self.beta, accum_grad.sum(axis=0))
        return through(gamma * accum_grad, self.hat, self.root, 0)


class DrawnAtRandom:
    """A scale of an unknown name, drawn when it is needed; there is no gradient of it."""

    factor = None

    def forward(self, x):
        if self.factor is None:
            self.factor = np.random.rand(*x.shape[1:])
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.factor * self.hat

    def backward(self, g):
        return through(self.factor * g, self.hat, self.root, 0)


class Forgetful:
    """gamma and beta are learnt, but backward gives their gradients to nobody."""

    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.gamma * self.hat + self.beta

    def backward(self, g):
        return through(self.gamma * g, self.hat, self.root, 0)


class Channels:
    """Of each channel of (N, C, H, W)."""

    axes = (0, 2, 3)

    def __init__(self, num_features, eps=1e-5):
        self.gamma = np.ones((1, num_features, 1, 1))
        self.beta = np.zeros((1, num_features, 1, 1))
        self.eps = eps

    def forward(self, x):
        assert x.ndim == 4
        self.hat, self.root = normalized(x, self.axes, self.eps)
        return self.gamma * self.hat + self.beta

    def backward(self, dout):
        self.grad_gamma = (dout * self.hat).sum(axis=(0, 2, 3), keepdims=True)
        self.grad_beta = dout.sum(axis=(0, 2, 3), keepdims=True)
        return through(self.gamma * dout, self.hat, self.root, self.axes)


class Instances(Channels):
    """Instance normalization."""

    axes = (2, 3)


class ChannelsByBatch(Channels):
    """Both sums divided by N where N*H*W belongs."""

    def backward(self, dout):
        super().backward(dout)
        g, n = self.gamma * dout, len(dout)
        mean = g.sum(axis=self.axes, keepdims=True) / n
        along = (g * self.hat).sum(axis=self.axes, keepdims=True) / n
        return (g - mean - self.hat * along) / self.root


class LastAxis:
    """Layer normalization over the last axis of (N, T, D)."""

    def __init__(self, d_model, eps=1e-6):
        self.g, self.b, self.eps = np.ones(d_model), np.zeros(d_model), eps

    def forward(self, x):
        _n, _t, _d = x.shape
        self.hat, self.root = normalized(x, -1, self.eps)
        return self.g * self.hat + self.b

    def backward(self, dy):
        self.dg, self.db = (dy * self.hat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
        return through(self.g * dy, self.hat, self.root, -1)


class Columns:
    """(D, N): pictures are columns."""

    def __init__(self, n_in):
        self.gamma, self.beta = np.ones((n_in, 1)), np.zeros((n_in, 1))

    def forward(self, Z):
        self.hat, self.root = normalized(Z, 1, 1e-8)
        return self.gamma * self.hat + self.beta

    def backward(self, dZ):
        self.dgamma = (dZ * self.hat).sum(axis=1, keepdims=True)
        self.dbeta = dZ.sum(axis=1, keepdims=True)
        return through(self.gamma * dZ, self.hat, self.root, 1)


def forward(x, gamma, beta, bn_param):
    assert bn_param["mode"] == "train"
    hat, root = normalized(x, 0, bn_param.get("eps", 1e-5))
    return gamma * hat + beta, (hat, root, gamma)


def backward(dout, cache):
    hat, root, gamma = cache
    dgamma, dbeta = (dout * hat).sum(axis=0), dout.sum(axis=0)
    return through(gamma * dout, hat, root, 0), dgamma, dbeta


def backward_swapped(dout, cache):
    dx, dgamma, dbeta = backward(dout, cache)
    return dx, dbeta, dgamma


def backward_in_dict(dout, cache):
    dx, dgamma, dbeta = backward(dout, cache)
    return {"dbeta": dbeta, "dgamma": dgamma, "dx": dx}


def backward_too_many_axes(dout, cache):
    dx, dgamma, dbeta = backward(dout, cache)
    return dx[None], dgamma, dbeta


def backward_in_lists(dout, cache):
    return [gradient.tolist() for gradient in backward(dout, cache)]


def backward_of_nan(dout, cache):
    dx, dgamma, dbeta = backward(dout, cache)
    return dx * np.nan, dgamma, dbeta


def backward_by_keyword(cache, *, delta):
    return backward(delta, cache)


def forward_needs_eps(x, g, b, e):
    hat, root = normalized(x, 0, e)
    return g * hat + b, hat, root, g


def forward_without_eps(x, gamma, beta):
    hat, root = normalized(x, 0, 0.0)
    return gamma * hat + beta, (hat, root, gamma, x)


def backward_with_eps(dout, cache):
    _, _, gamma, x = cache
    hat, root = normalized(x, 0, 1e-5)
    return through(gamma * dout, hat, root, 0), (dout * hat).sum(axis=0), dout.sum(axis=0)


def backward_without_eps(dout, cache):
    return backward(dout, cache[:3])


class StepsByItself:
    """backward takes a step of 0.01, which nobody can change."""

    def __init__(self, dim):
        self.gamma, self.beta = np.ones(dim), np.zeros(dim)

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.gamma * self.hat + self.beta

    def backward(self, grad):
        dx = through(self.gamma * grad, self.hat, self.root, 0)
        self.gamma -= 0.01 * (grad * self.hat).sum(axis=0)
        self.beta -= 0.01 * grad.sum(axis=0)
        return dx


class Scalars:
    """One gamma and one beta for everything, plain numbers."""

    def __init__(self):
        self.gamma, self.beta = 1.0, 0.0

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.gamma * self.hat + self.beta

    def backward(self, grad):
        self.dgamma, self.dbeta = (grad * self.hat).sum(), grad.sum()
        return through(self.gamma * grad, self.hat, self.root, 0)


class AnyShapeByBatch:
    """Each channel of (N, C, H, W), or of (N, C); divided by N in both."""

    def __init__(self, channels):
        self.gamma, self.beta = np.ones(channels), np.zeros(channels)

    def rows(self, a):
        return np.moveaxis(a, 1, -1).reshape(-1, a.shape[1])

    def back(self, rows, shape):
        return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)

    def forward(self, x):
        self.hat, self.root = normalized(self.rows(x), 0, 1e-5)
        return self.back(self.gamma * self.hat + self.beta, x.shape)

    def backward(self, dout):
        g, n = self.rows(dout), len(dout)
        self.dgamma, self.dbeta = (g * self.hat).sum(axis=0), g.sum(axis=0)
        rows = g - self.dbeta / n - self.hat * self.dgamma / n
        return self.back(self.gamma / self.root * rows, dout.shape)


class Kept:
    pair = None


class Oddly:
    """Nothing has a name that says anything."""

    def __init__(self):
        self.one, self.two, self.kept = None, None, Kept()

    def there(self, x):
        if self.one is None:
            self.one, self.two = np.ones(x.shape[1:]), np.zeros(x.shape[1:])
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.one * self.hat + self.two

    def andback(self, e):
        self.kept.pair = [(e * self.hat).sum(axis=0), e.sum(axis=0)]
        return through(self.one * e, self.hat, self.root, 0)


class Riddles:
    """Arguments of which nobody can know what they are."""

    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward(self, x, riddle):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return riddle * self.gamma * self.hat + self.beta

    def backward(self, grad, enigma, riddle):
        self.dgamma, self.dbeta = riddle * (grad * self.hat).sum(axis=0), grad.sum(axis=0)
        return enigma * through(riddle * self.gamma * grad, self.hat, self.root, 0)


class Stacked:
    """gamma and beta are the rows of one array."""

    def __init__(self, dim):
        self.theta = np.stack([np.ones(dim), np.zeros(dim)])

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.theta[0] * self.hat + self.theta[1]

    def backward(self, grad):
        self.dtheta = np.stack([(grad * self.hat).sum(axis=0), grad.sum(axis=0)])
        return through(self.theta[0] * grad, self.hat, self.root, 0)


class HalvedStack(Stacked):
    """The same, halved."""

    def backward(self, grad):
        dx = super().backward(grad)
        self.dtheta /= 2
        return dx


class SteppedTooEarly(Learner):
    """The gradient of the input is that of the gamma after its step."""

    def backward_pass(self, grad, lr):
        self.gamma = self.gamma - lr * (grad * self.hat).sum(axis=0)
        self.beta = self.beta - lr * grad.sum(axis=0)
        return through(self.gamma * grad, self.hat, self.root, 0)


class Adaptive(Learner):
    """Steps by the sign of the gradients, which does not tell how large they are."""

    def backward_pass(self, grad, lr):
        dx = through(self.gamma * grad, self.hat, self.root, 0)
        self.gamma = self.gamma - lr * np.sign((grad * self.hat).sum(axis=0))
        self.beta = self.beta - lr * np.sign(grad.sum(axis=0))
        return dx


class BatchInConstructor:
    """The constructor takes the number of pictures, too."""

    def __init__(self, batch_size, num_features):
        self.count = batch_size
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)

    def forward(self, x):
        self.hat, self.root = normalized(x, 0, 1e-5)
        return self.gamma * self.hat + self.beta

    def backward(self, g):
        self.dgamma, self.dbeta = (g * self.hat).sum(axis=0), g.sum(axis=0)
        rows = g - self.dbeta / self.count - self.hat * self.dgamma / self.count
        return self.gamma / self.root * rows


class WaitsInItsClass(Plain):
    """In inference until somebody says otherwise, as its class has it."""

    is_training = False

    def forward(self, x):
        if not self.is_training:
            return self.gamma * x + self.beta
        return super().forward(x)


def forward_of_parts(x, gamma, beta, running_mean, running_var):
    hat, root = normalized(x, 0, 1e-5)
    return gamma * hat + beta, hat, root


def backward_of_parts(dout, x_hat, root, gamma):
    return backward(dout, (x_hat, root, gamma))


def forward_of_dict(x, gamma, beta):
    hat, root = normalized(x, 0, 1e-5)
    return gamma * hat + beta, {"hat": hat, "root": root}


def backward_of_dict(dout, root, hat, gamma):
    return backward(dout, (hat, root, gamma))

"""What the arguments of constructors, forwards and backwards are given, by their names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncli.checking.layouts import Layout
from bncli.checking.places import as_array
from bncli.checking.question import Array

EPS = 1e-8
"""Given where a layer needs an eps and has none of its own."""

_MOMENTUM = 0.9
MISSING = object()
OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def is_input(name: str) -> bool:
    """Whether an argument is the input of forward, by its name."""
    return bool(_INPUT.fullmatch(name.lower())) and "grad" not in name.lower()


def is_among(name: str, names: frozenset[str]) -> bool:
    """Whether a name is one of those; single letters by their case, too."""
    bare = name.strip("_")
    return bare in names or (len(bare) > 1 and bare.lower() in names)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INPUT = re.compile(
    r"_*(x|xs|z|h|a_in|data|bottom|.*(input|inpt|inp)s?(_?(data|tensor|units|x))?)_*"
)
GAMMA = _names("gamma scales scale weight weights g w gain gammas bw \u03b3")
BETA = _names("beta bias biases shift offset b intercept betas shifts bb \u03b2")
EPS_NAMES = _names("eps epsilon epsil e epsilion eps_value epislon")
LEARNING = _names(
    "lr learning_rate learn_rate eta alpha rate step_size lrate learningrate learning_rate_ "
    "lr_rate l_rate lr_gamma lr_beta weight_decay decay_rate reg lambda_ l2"
)
OPTIMIZERS = _names("optimizer optim opt solver optimiser updater optimizer_class trainer")
_TRAINING = _names(
    "is_training training train train_flg is_train train_mode training_mode trainable train_flag "
    "istrain is_training_mode requires_grad retain_derived retain_grads update affine learnable "
    "elementwise_affine use_bias center use_scale"
)
_INFERENCE = _names(
    "inference test is_test eval is_eval testing evaluate is_inference predict use_global_stats"
)
_MODE = _names("mode phase stage state")
_OPTIONS = re.compile(r"(\w*_)?(params?|config|conf|opts?|options|cfg|kwargs|args)$")
_SHAPES = _names(
    "input_shape shape in_shape normalized_shape input_size in_size x_shape inp_shape dims_in "
    "data_shape inputs_shape shape_in size_in input_dims norm_shape"
)
_WIDTHS = re.compile(
    r"(num|n|nb|in|input|output|out|hidden|d|no|number)?_?(of_)?(features?|neurons?|channels?|units?|dims?|width|"
    r"inputs?|outputs?|hidden|nodes?|model|size|filters?|in|out|embd?|embed(ding)?(_dim)?|feature_size|hidden_size|"
    r"filters_in|ch|maps?|layer_size)(_(in|dims?|size|num|count))?$|[DCndkmNF]$|dim_in$|chan$|last_dim$"
)
_MOMENTA = _names("momentum decay rho momentum_ m moving_decay ema momentum_rate running_momentum")
_BATCH = _names("batch_size batch batchsize n_samples num_samples n_batch bs N M m B")
_DIMENSIONS = _names("num_dims n_dims ndim ndims n_dim")
_RUNNING = re.compile(
    r"(running|moving|run|mov|r|pop|population|global)_?(mean|mu|avg|var|variance|std|sigma)\w*"
)
_GROUPS = _names("num_groups groups G n_groups group")
CACHES = _names("cache caches ctx kept context saved memory fwd_cache info store state aux tmp")


class Recorder:
    """An optimizer that does nothing but to note what it is given."""

    def __init__(self) -> None:
        self.calls: list[list[Array]] = []

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Note the arrays; give the first back, as it is."""
        arrays = [(value, as_array(value)) for value in (*args, *named.values())]
        held = [array.copy() for _, array in arrays if array is not None and array.ndim]
        if held:
            self.calls.append(held)
        return next((value for value, array in arrays if array is not None), None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __copy__(self) -> Recorder:
        return self

    def __deepcopy__(self, _memo: Any) -> Recorder:
        return self


@dataclass(slots=True)
class Given:
    """What there is to give.

    Attributes:
        layout: of the arrays.
        shape: of the batch, (batch, w, h, c).
        gamma, beta: in the shape that is tried.
        eps: asked for; None is the layer's own.
        rate: of learning.
        variant: which of the values that a name may stand for, from 0.
        said: arguments that the user has given, by name.
        roles: name of an argument -> ``gamma``, ``beta``, ``eps`` or ``input_shape``, as the user
            has said.
        recorder: the optimizer.
    """

    layout: Layout
    shape: tuple[int, ...]
    gamma: Array
    beta: Array
    eps: float | None = None
    rate: float = 0.0
    variant: int = 0
    said: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)

    def choose(self, *values: Any) -> Any:
        """The value of the variant that is tried."""
        return values[min(self.variant, len(values) - 1)]

    def width(self, name: str) -> Any:
        """What stands for the size of the input in a constructor."""
        laid = self.layout.shape(self.shape)
        width = laid[self.layout.features]
        without = laid[1:] if self.layout.name != "dn" else laid[:1]
        if name in _SHAPES or self.roles.get(name) == "input_shape":
            return self.choose(without, laid, width, (1, *without))
        return self.choose(width, without if len(without) > 1 else laid, laid)

    def value(self, name: str, default: Any = MISSING) -> Any:
        """For an argument of a constructor or of forward; ``MISSING`` where it is unknown."""
        low = name.lower().strip("_")
        role = self.roles.get(name, "")
        if name in self.said:
            return self.said[name]
        if role == "gamma" or (not role and is_among(name, GAMMA)):
            return self._parameter(self.gamma, default)
        if role == "beta" or (not role and is_among(name, BETA)):
            return self._parameter(self.beta, default)
        if role == "eps" or low in EPS_NAMES:
            if self.eps is not None:
                return self.eps
            return EPS if default in (None, MISSING) else default
        return self._setting(name, low, default)

    def _parameter(self, value: Array, default: Any) -> Any:
        if isinstance(default, bool | str):
            return default
        numeric = isinstance(default, float | int)
        return value.copy() if not numeric or self.variant == 0 else default

    def _setting(self, name: str, low: str, default: Any) -> Any:  # noqa: PLR0911 - a table
        flag = default is MISSING or default in (False, True, None, 0, 1)
        if low in LEARNING:
            return self.rate
        if low in OPTIMIZERS:
            return self.choose(*([] if default is MISSING else [default]), self.recorder)
        if (low in _TRAINING or low in _INFERENCE) and flag:
            return low in _TRAINING
        if low in _MODE:
            return self._mode(default)
        if name in _SHAPES or self.roles.get(name) == "input_shape":
            return self.width(name)
        if default is not MISSING and default is not None:
            return default
        return self._size(name, low, default) if default is None else self._needed(name, low)

    def _needed(self, name: str, low: str) -> Any:  # noqa: PLR0911 - likewise
        """For an argument without a default."""
        if name in _BATCH:
            return self.choose(self.shape[0], self.width(name))
        if low in _DIMENSIONS:
            return len(self.layout.axes)
        if _RUNNING.fullmatch(low):
            spread = any(word in low for word in ("var", "std", "sigma"))
            return np.ones_like(self.gamma) if spread else np.zeros_like(self.gamma)
        if name in _GROUPS or low in _GROUPS:
            channels = self.shape[-1]
            return next((n for n in range(2, channels) if channels % n == 0), 1)
        if low in _MOMENTA:
            return _MOMENTUM
        if _OPTIONS.fullmatch(low):
            return self.options()
        if low in CACHES:
            # Of a forward: the running mean and variance.
            return np.zeros_like(self.gamma), np.ones_like(self.gamma)
        return self._size(name, low, MISSING)

    def _size(self, name: str, low: str, default: Any) -> Any:
        known = _WIDTHS.fullmatch(name) or _WIDTHS.fullmatch(low)
        return self.width(name) if known else default

    def _mode(self, default: Any) -> Any:
        if default is not MISSING and not isinstance(default, bool | int | str):
            return default
        if isinstance(default, bool | int):
            return True
        if isinstance(default, str):
            return "train" if default.lower() in {"test", "eval", "inference", "val"} else default
        return self.choose(*("train", True))

    def options(self) -> dict[str, Any]:
        """A dict of options, as assignments hand it over."""
        own = {"gamma": self.gamma.copy(), "beta": self.beta.copy()}
        return {"mode": "train", "momentum": _MOMENTUM, "eps": self.eps or EPS, **own, **self.said}


def nobody_takes(said: Mapping[str, Any], taken: Mapping[str, inspect.Parameter]) -> list[str]:
    """Those arguments of the user's that reach nothing."""
    if any(p.kind is p.VAR_KEYWORD or _OPTIONS.fullmatch(n.lower()) for n, p in taken.items()):
        return []
    return [name for name in said if name not in taken]


class UnknownArgumentError(Exception):
    """An argument that nobody knows what to give for."""


def signature_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function or constructor; none where it tells none."""
    try:
        found = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}
    if found and all(p.kind in OPEN_ENDED for p in found.values()):
        inner = getattr(function, "__init__", None) if inspect.isclass(function) else function
        return _under_a_wrapper(inner) or found
    return found


def _under_a_wrapper(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of the function that a decorator has hidden; none if it has hidden none."""
    for cell in getattr(function, "__closure__", None) or ():
        if inspect.isfunction(cell.cell_contents):
            found = dict(inspect.signature(cell.cell_contents).parameters)
            found.pop("self", None)
            if any(p.kind not in OPEN_ENDED for p in found.values()):
                return found
    return {}


def bound(
    parameters: Mapping[str, inspect.Parameter], given: Given, *, guess: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments, positional and named, for parameters.

    Args:
        parameters: without those that are given otherwise.
        given: what there is.
        guess: take what nobody knows for the width of the layer.

    Raises:
        UnknownArgumentError: a parameter without default is not known; its name.
    """
    placed: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.kind in OPEN_ENDED:
            continue
        default = MISSING if parameter.default is parameter.empty else parameter.default
        value = given.value(name, default)
        if value is MISSING and guess:
            value = given.width(name)
        if value is MISSING:
            raise UnknownArgumentError(name)
        if value is default and default is not MISSING:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            placed.append(value)
        else:
            named[name] = value
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        named |= {name: value for name, value in given.said.items() if name not in named}
    return placed, named


def is_setting(name: str) -> bool:
    """Whether an argument says how to learn or in which mode, by its name."""
    low = name.lower()
    return low in LEARNING | OPTIMIZERS | EPS_NAMES | _TRAINING | _INFERENCE | _MODE


def own_eps(layer: Any, parameters: Mapping[str, inspect.Parameter]) -> float | None:
    """The eps that a layer says it uses, in an attribute or a default."""
    for name in EPS_NAMES:
        value = getattr(layer, name, None)
        if value is None and name in parameters:
            value = parameters[name].default
        if (
            isinstance(value, float | int | np.floating)
            and not isinstance(value, bool)
            and value > 0
        ):
            return float(value)
    return None

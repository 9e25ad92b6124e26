"""Hollow tensors: of what a model computes only shape, format and memory; of what is counted or masked the truth.

Integers and booleans of little size, as token ids, masks and labels, are real, so that they decide in the code of the
model and of the trainer what they decide in a run: which mask is made, which tokens get logits. Everything else is one
of PyTorch's fake tensors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten
from torch.utils.weak import WeakIdKeyDictionary

from pipeline.estimate.ledger import Ledger, tensors_in

aten = torch.ops.aten
# Token ids and masks over them have fewer elements, masks of attention have more.
MOST_REAL_ELEMENTS = 1 << 18
_CPU = torch.device("cpu")
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
_READING = {torch.Tensor.numpy, torch.Tensor.tolist}

Listener = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Takes an operation on hollow tensors with its arguments and what it returned."""


@contextmanager
def hollow(device: torch.device, *, ledger: Ledger, listener: Listener | None = None) -> Iterator[None]:
    """Make hollow what is made in the body, on `device`, which need not exist here."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    # A tensor that is remembered cannot change places with another one, which `Module.to` wants.
    fake.fake_tensor_converter.meta_converter.tensor_memo = _Forgetful()
    with fake, _Hollow(device, ledger, listener), _Readable():
        yield


class _Hollow(TorchDispatchMode):
    def __init__(self, device: torch.device, ledger: Ledger, listener: Listener | None) -> None:
        super().__init__()
        self.device = device
        self.ledger = ledger
        self.listener = listener
        self._stand_ins = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return args[0].fake_device if isinstance(args[0], FakeTensor) else args[0].device
        leaves, form = tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if any(isinstance(tensor, FakeTensor) for tensor in tensors):
            return self._on_hollow(func, leaves, form, tensors)
        if func.namespace != "aten":
            return func(*args, **kwargs)
        return self._on_real(func, args, kwargs, tensors)

    def _on_hollow(self, func: Any, leaves: list[Any], form: Any, tensors: list[torch.Tensor]) -> Any:
        if func is aten._local_scalar_dense.default:
            # A number to divide by; a question is mostly whether something is wrong.
            return 1.0 if tensors[0].is_floating_point() else int(tensors[0].dtype is not torch.bool)
        if func is aten.copy_.default and not isinstance(tensors[0], FakeTensor):
            # A value that is only told, as a loss in a log.
            return tensors[0]
        if func in _INDEXING:
            leaves, form = _with_numbers_for_masks(leaves, form)
        leaves = [self._stand_in(leaf) if _is_real(leaf) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(leaves, form)
        result = self._counted(func(*args, **kwargs))
        if self.listener is not None:
            self.listener(func, args, kwargs, result)
        return result

    def _on_real(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        here = {**kwargs, **{name: _CPU for name, value in kwargs.items() if isinstance(value, torch.device)}}
        with _disable_current_modes():
            if tensors and all(tensor.numel() <= 1 for tensor in tensors):
                return self._counted(func(*args, **here))
            sketch = _sketch(func, args, kwargs)
            if sketch is None or all(_stays_real(tensor) for tensor in tensors_in(sketch)):
                return self._counted(func(*args, **here))
        result = func(*args, **kwargs) if not tensors else tree_map_only(torch.Tensor, self._made_like, sketch)
        return self._counted(result)

    def _stand_in(self, real: torch.Tensor) -> FakeTensor:
        known = self._stand_ins.get(real)
        if known is None:
            known = self._stand_ins[real] = self._made_like(real)
        return known

    def _made_like(self, tensor: torch.Tensor) -> Any:
        device = self.device if tensor.dim() else torch.device("cpu")
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)

    def _counted(self, result: Any) -> Any:
        for tensor in tensors_in(result):
            self.ledger.add(tensor)
        return result


class _Readable(TorchFunctionMode):
    """Lets values be read that do not exist, as zeros, and hollow weights be copied."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and isinstance(args[0], FakeTensor):
            return _deep_copy(*args)
        if func in _READING and isinstance(args[0], FakeTensor):
            with _disable_current_modes():
                return func(torch.zeros(args[0].shape, dtype=args[0].dtype))
        return func(*args, **(kwargs or {}))


def _deep_copy(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    # A weight that is shared stays shared.
    if id(tensor) not in memo:
        copied = tensor.detach().clone()
        is_weight = isinstance(tensor, torch.nn.Parameter)
        memo[id(tensor)] = torch.nn.Parameter(copied, tensor.requires_grad) if is_weight else copied
    found: torch.Tensor = memo[id(tensor)]
    return found


class _Forgetful(dict[Any, Any]):
    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and not isinstance(leaf, FakeTensor)


def _stays_real(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() and tensor.numel() <= MOST_REAL_ELEMENTS


def _sketch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What the operation would return, without contents, to see its formats and sizes; None where those depend on
    the contents."""
    meta = torch.device("meta")
    args, kwargs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(meta), (args, kwargs))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": meta}
    try:
        return func(*args, **kwargs)
    except NotImplementedError:
        return None


def _with_numbers_for_masks(leaves: list[Any], form: Any) -> tuple[list[Any], Any]:
    """Masks among the indices as the numbers of their places: how many there are is then known.

    Of a mask without contents, as of the numbers that are none, every place counts.
    """
    args, kwargs = tree_unflatten(leaves, form)
    indices: list[Any] = []
    for index in args[1]:
        if isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8):
            with _disable_current_modes():
                mask = index if _is_real(index) else torch.ones(index.shape, dtype=torch.bool)
                indices += mask.nonzero(as_tuple=True)
        else:
            indices.append(index)
    return tree_flatten(((args[0], indices, *args[2:]), kwargs))

"""A served model folder as a base: its graph holds every weight under the name that torch knows it by, so the folder needs
no second copy of them to be fine-tuned from or to be compared with plain torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from labels.errors import FolderError
from labels.folder import CHECKPOINT, GRAPH, MANIFEST
from labels.openvino import core

Weights = Mapping[str, npt.NDArray[np.float32]]

WEIGHTS = "model.safetensors"
# What tracing and storing in 16 bits add to the torch names.
_PREFIX, _SUFFIX = "self.model.", "_compressed"


def is_served(base: str) -> bool:
    """Whether `base` is a folder that `marsad export` wrote."""
    return (Path(base) / MANIFEST).is_file() and (Path(base) / GRAPH).is_file()


def checkpoint_of(base: str) -> str:
    """Where configuration and tokenizer of `base` are: in the checkpoint of a served folder, else in `base` itself."""
    return str(Path(base) / CHECKPOINT) if is_served(base) else base


def needs_graph(base: str) -> bool:
    """Whether the weights of `base` are in its graph alone."""
    return is_served(base) and not (Path(base) / CHECKPOINT / WEIGHTS).is_file()


def graph_weights(graph: Path) -> Weights:
    """The weights that a graph was traced with, by torch name, widened to 32 bits."""
    try:
        operations = core().read_model(graph).get_ops()
    except RuntimeError as error:
        raise FolderError(f"{graph}: cannot be read: {error}") from error
    found = {}
    for operation in operations:
        name = operation.get_friendly_name()
        if operation.get_type_name() == "Constant" and name.startswith(_PREFIX):
            data = np.array(operation.data)
            if np.issubdtype(data.dtype, np.floating):
                found[name.removeprefix(_PREFIX).removesuffix(_SUFFIX)] = data.astype(np.float32)
    return found


def fill(module: nn.Module, weights: Weights, where: Path) -> None:
    """Give `module` the weights of its parameters' names; FolderError if one is not there or of another shape."""
    missing = missing_weights(module, weights)
    if missing:
        raise FolderError(f"{where}: lacks {len(missing)} weights of the model, such as {missing[0]}; export it again")
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name]))


def missing_weights(module: nn.Module, weights: Weights) -> list[str]:
    """Parameters of `module` that `weights` do not hold."""
    return [name for name, value in module.named_parameters() if name not in weights or weights[name].shape != value.shape]

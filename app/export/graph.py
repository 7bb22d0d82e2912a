"""The actor as an ONNX graph, written node by node: what stands in the file is what is written here.

    obs [1, D], h_in [L, 1, H], c_in [L, 1, H]  ->  actions [1, A], h_out [L, 1, H], c_out [L, 1, H]

Observation and action are those of the robot as it is. Where the task mirrors, the graph looks at the clock in the
observation and does it inside. What a normaliser did is part of the first layer's weights already.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from biped.task.mirror import Image
from ppo.policy import RecurrentActorCritic

INPUTS = ("obs", "h_in", "c_in")
OUTPUTS = ("actions", "h_out", "c_out")
ACTIVATIONS = {"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}


class GraphMirror(NamedTuple):
    """What the graph needs to know to mirror by itself."""

    clock_column: int
    """Of the observation: the sine of the gait clock. Where it is negative, the left foot is to carry."""
    observation: Image
    action: Image


class GraphBuilder:
    """Collects nodes and constants; a node is named after what it computes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, name: str, tensor: Tensor) -> str:
        """Add float32 weights; returns their name."""
        return self.constant(name, tensor.detach().cpu().numpy().astype(np.float32))

    def node(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node; returns the name of its last output."""
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), name=outputs[-1], **attributes))
        return outputs[-1]

    def mlp(self, prefix: str, parameters: Mapping[str, Tensor], activation: str, features: str) -> str:
        """Add the layers of an MLP whose parameters begin with `prefix`, if there are any."""
        for index in sorted({int(name[len(prefix) :].split(".")[0]) for name in parameters if name.startswith(prefix)}):
            layer = f"{prefix}{index}"
            features = self.linear(layer, parameters, features)
            features = self.node(ACTIVATIONS[activation], [features], f"{layer}.activation")
        return features

    def linear(self, name: str, parameters: Mapping[str, Tensor], features: str, output: str | None = None) -> str:
        """Add a linear layer `[1, I] -> [1, O]`."""
        weight, bias = (self.weights(f"{name}.{part}", parameters[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("Gemm", [features, weight, bias], output or f"{name}.output", transB=1)

    def lstm(self, parameters: Mapping[str, Tensor], layers: int, hidden: int, features: str) -> str:
        """Add the actor's LSTM `[1, I] -> [1, H]`, between `h_in`, `c_in` and `h_out`, `c_out`."""
        sequence = self.constant("sequence_shape", np.array([1, 1, -1], dtype=np.int64))
        sequences = self.node("Reshape", [features, sequence], "lstm.input")
        states: list[tuple[str, str]] = []
        for layer in range(layers):
            index = self.constant(f"lstm.{layer}", np.array([layer], dtype=np.int64))
            before = [self.node("Gather", [name, index], f"lstm.{layer}.{name}", axis=0) for name in INPUTS[1:]]
            names = [f"lstm_actor.{kind}_l{layer}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            from_input, from_state, *biases = (_onnx_gates(parameters[name]) for name in names)
            weights = [
                self.constant(f"lstm.{layer}.{name}", values[None])
                for name, values in (("W", from_input), ("R", from_state), ("B", np.concatenate(biases)))
            ]
            after = f"lstm.{layer}.h_out", f"lstm.{layer}.c_out"
            self.node("LSTM", [sequences, *weights, "", *before], "", *after, hidden_size=hidden)
            states.append(after)
            sequences = after[0]
        for output, each in zip(OUTPUTS[1:], zip(*states, strict=True), strict=True):
            self.node("Concat", list(each), output, axis=0)
        flat = self.constant("flat_shape", np.array([1, -1], dtype=np.int64))
        return self.node("Reshape", [sequences, flat], "lstm.output")

    def image(self, name: str, image: Image, values: str, mask: str, output: str) -> str:
        """Show `values` `[1, W]` in the mirror where `mask` `[1, 1]` holds."""
        columns = self.constant(f"{name}.columns", np.array(image.columns, dtype=np.int64))
        signs = self.constant(f"{name}.signs", np.array(image.signs, dtype=np.float32))
        moved = self.node("Gather", [values, columns], f"{name}.moved", axis=1)
        return self.node("Where", [mask, self.node("Mul", [moved, signs], f"{name}.image"), values], output)


def _onnx_gates(tensor: Tensor) -> NDArray[np.float32]:
    """Rows of an LSTM's weights, of which PyTorch has (in, forget, cell, out) and ONNX (in, out, forget, cell)."""
    into, forget, cell, out = np.split(tensor.detach().cpu().numpy().astype(np.float32), 4)
    return np.concatenate((into, out, forget, cell))


def build_model(
    policy: RecurrentActorCritic, mirror: GraphMirror | None, opset: int, metadata: Mapping[str, str]
) -> Any:  # noqa: ANN401 - the ModelProto of onnx
    """The actor, its action clipped to the policy's bounds, as a checked ONNX model.

    Args:
        policy: its bounds included.
        mirror: what the task mirrors, if it does.
        opset: version of the ONNX operators, one of `app.export.exporting.OPSETS`.
        metadata: texts to write into the file, by key.

    Raises:
        onnx.checker.ValidationError: the graph is not valid; that would be a mistake in this file.
    """
    graph, config = GraphBuilder(), policy.config
    parameters = policy.plain_state_dict()
    layers, hidden = config.n_lstm_layers, config.lstm_hidden_size
    features = "obs"
    if mirror is not None:
        column = graph.constant("clock_column", np.array([mirror.clock_column], dtype=np.int64))
        sine = graph.node("Gather", ["obs", column], "clock_sine", axis=1)
        graph.node("Less", [sine, graph.constant("zero", np.zeros(1, dtype=np.float32))], "mirrored")
        features = graph.image("observation", mirror.observation, "obs", "mirrored", "observation")
    features = graph.mlp("features_extractor.", parameters, config.activation, features)
    features = graph.lstm(parameters, layers, hidden, features)
    features = graph.mlp("mlp_extractor.policy_net.", parameters, config.activation, features)
    mean = graph.linear("action_net", parameters, features)
    low, high = graph.weights("low", policy.action_low), graph.weights("high", policy.action_high)
    above = graph.node("Max", [mean, low], "above_low")
    clipped = graph.node("Min", [above, high], "actions" if mirror is None else "clipped")
    if mirror is not None:
        graph.image("action", mirror.action, clipped, "mirrored", "actions")
    sizes = {"obs": parameters[policy.first_layers[0][0]].shape[1], "actions": len(policy.action_low)}
    shapes = {name: (1, sizes[name]) if name in sizes else (layers, 1, hidden) for name in (*INPUTS, *OUTPUTS)}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in names]
        for names in (INPUTS, OUTPUTS)
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "policy", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
        producer_name="biped-ppo",
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model

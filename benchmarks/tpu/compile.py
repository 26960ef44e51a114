"""Compiles a program that `lower.py` has written with TPU's own compiler, for a pod that is not there.

    .venv-tpu/bin/python benchmarks/tpu/compile.py PROGRAM TOPOLOGY REPLICAS INPUTS RESULTS

prints one line of JSON: what one core needs, in bytes, and the floating-point operations that XLA counts; or under
`refused` why there is no program. The compiler is in the package `libtpu`. It needs no TPU; the topology says which pod
it compiles for, and REPLICAS how many of its cores take
part. The program takes INPUTS inputs before its variables, and returns RESULTS results before them.
"""

import json
import os
import re
import sys
import time
from typing import Any, Dict, List, Match

# The compiler else looks for the machine's TPU, and for the pod's other machines.
os.environ.update(
    JAX_PLATFORMS="cpu",
    TPU_SKIP_MDS_QUERY="1",
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_WORKER_ID="0",
    TPU_LOG_DIR="disabled",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # several processes may compile at a time, as none of them has a TPU
)

import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax.experimental import topologies
from jaxlib.mlir import ir

# The custom calls of `replica.py`: result, name, operands, their types, type of the result.
CUSTOM_CALL = re.compile(r"(%\w+) = stablehlo\.custom_call @replica\.(\w+)\((.*?)\) \{.*\} : \((.*?)\) -> (\S+)")
COPY = re.compile(r"mhlo\.copy (%\S+)(?: \{[^}]*\})? : (tensor<[^>]*>)")


def stablehlo(program: bytes, replicas: int) -> str:
    """HLO as TensorFlow 2.15 serialises it → StableHLO that the compiler of today reads."""
    text: str = xla_client._xla.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(program))
    # The converter leaves copies in a dialect of the past; a reshape to the same shape is one.
    text = COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text)
    return CUSTOM_CALL.sub(lambda call: _replica_operation(call, replicas), text)


def _replica_operation(call: Match[str], replicas: int) -> str:
    result, name, operands, types, type_ = call.groups()
    groups = f"replica_groups = dense<[{list(range(replicas))}]> : tensor<1x{replicas}xi64>"
    if name == "all_to_all":
        attributes = f"split_dimension = 0 : i64, concat_dimension = 0 : i64, split_count = {replicas} : i64, {groups}"
        return f'{result} = "stablehlo.all_to_all"({operands}) {{{attributes}}} : ({types}) -> {type_}'
    scalar = re.sub(r"\d+x", "", type_)
    return (
        f'{result} = "stablehlo.all_reduce"({operands}) ({{\n^bb0(%x: {scalar}, %y: {scalar}):\n'
        f"%sum = stablehlo.add %x, %y : {scalar}\nstablehlo.return %sum : {scalar}\n}}) "
        f"{{{groups}}} : ({types}) -> {type_}"
    )


def alias_variables(module: ir.Module, inputs: int, results: int) -> None:
    """Lets each variable's new value take the place of the old one, as a training loop does.

    TensorFlow's programs take the inputs and then the variables, and return the results and then, in the same order,
    those variables that have changed.
    """
    (main,) = (f for f in module.body.operations if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    function_type = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    attributes: List[Dict[str, ir.Attribute]] = [{} for _ in function_type.inputs]
    variable = inputs
    for output in range(results, len(function_type.results)):
        while function_type.inputs[variable] != function_type.results[output]:
            variable += 1
        attributes[variable]["tf.aliasing_output"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), output)
        variable += 1
    main.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(one) for one in attributes])


def pod(topology: str, replicas: int) -> List[Any]:
    """So many devices of a pod."""
    description: Dict[str, Any] = {"topology_name": topology, "platform": "tpu"}
    if topology.startswith("v4"):  # whose two cores work as one
        description["chip_config_name"] = "megacore"
    devices: List[Any] = topologies.get_topology_desc(**description).devices[:replicas]
    return devices


def compile_program(program: bytes, devices: List[Any], inputs: int, results: int) -> Any:
    """The program, compiled to run on each of the devices."""
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = len(devices), 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id] for device in devices]))
    with mlir.make_ir_context() as context, ir.Location.unknown(context):
        module = ir.Module.parse(stablehlo(program, len(devices)), context)
        alias_variables(module, inputs, results)
        return devices[0].client.compile(module, xla_client.DeviceList(tuple(devices)), options)


def figures(program: Any) -> Dict[str, float]:
    """What is known of a compiled program."""
    memory, cost = program.get_compiled_memory_stats(), program.cost_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "flops": (cost[0] if isinstance(cost, list) else cost)["flops"],
    }


def main(path: str, topology: str, replicas: int, inputs: int, results: int) -> None:
    """Prints the line."""
    with open(path, "rb") as file:
        program = file.read()
    devices = pod(topology, replicas)
    start = time.monotonic()
    try:
        answer: Dict[str, Any] = figures(compile_program(program, devices, inputs, results))
    except xla_client.XlaRuntimeError as error:
        answer = {"refused": str(error)}
    print(json.dumps({**answer, "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

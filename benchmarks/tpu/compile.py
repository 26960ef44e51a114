"""Compiles a program of `lower.py` with TPU's own compiler, for a pod that need not exist.

    .venv-tpu/bin/python benchmarks/tpu/compile.py PROGRAM TOPOLOGY REPLICAS

prints one line of JSON: the bytes that one core needs, and the floating-point operations that XLA counts. If the
compiler rejects the program, `refused` is the reason, for example too little memory. The compiler is in the package
`libtpu` and needs no TPU. TOPOLOGY names the pod, and REPLICAS is the number of its cores that take part.
"""

import json
import os
import re
import sys
import time
from typing import Any, Dict, List, Match

# Otherwise the compiler looks for the machine's TPU and for the pod's other machines.
os.environ.update(
    JAX_PLATFORMS="cpu",
    TPU_SKIP_MDS_QUERY="1",
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_WORKER_ID="0",
    TPU_LOG_DIR="disabled",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # several processes may compile at a time, because none uses a TPU
)

import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax.experimental import topologies
from jaxlib.mlir import ir

# Custom calls of `replica.py`: result, operand, type of the operand, type of the result (equal).
ALL_REDUCE = re.compile(r"(%\w+) = stablehlo\.custom_call @replica\.all_reduce\((%\w+)\) \{.*\} : \((.*)\) -> (\S+)")
COPY = re.compile(r"mhlo\.copy (%\S+)(?: \{[^}]*\})? : (tensor<[^>]*>)")


def stablehlo(program: bytes, replicas: int) -> str:
    """Converts HLO of TensorFlow 2.15 to StableHLO for the compiler."""
    text: str = xla_client._xla.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(program))
    # The converter leaves copies in an old dialect; a reshape to the same shape is a copy too.
    text = COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text)
    return ALL_REDUCE.sub(lambda call: _all_reduce(call, replicas), text)


def _all_reduce(call: Match[str], replicas: int) -> str:
    result, operand, type_, result_type = call.groups()
    scalar = re.sub(r"\d+x", "", type_)
    groups = f"dense<[{list(range(replicas))}]> : tensor<1x{replicas}xi64>"
    return (
        f'{result} = "stablehlo.all_reduce"({operand}) ({{\n^bb0(%x: {scalar}, %y: {scalar}):\n'
        f"%sum = stablehlo.add %x, %y : {scalar}\nstablehlo.return %sum : {scalar}\n}}) "
        f"{{replica_groups = {groups}}} : ({type_}) -> {result_type}"
    )


def pod(topology: str, replicas: int) -> List[Any]:
    """Returns the first `replicas` devices of a pod."""
    description: Dict[str, Any] = {"topology_name": topology, "platform": "tpu"}
    if topology.startswith("v4"):  # its two cores work as one
        description["chip_config_name"] = "megacore"
    devices: List[Any] = topologies.get_topology_desc(**description).devices[:replicas]
    return devices


def compile_program(program: bytes, devices: List[Any]) -> Any:
    """Compiles the program to run on each of the devices."""
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = len(devices), 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id] for device in devices]))
    with mlir.make_ir_context() as context, ir.Location.unknown(context):
        module = ir.Module.parse(stablehlo(program, len(devices)), context)
        return devices[0].client.compile(module, xla_client.DeviceList(tuple(devices)), options)


def figures(program: Any) -> Dict[str, float]:
    """Returns memory in bytes and operations of a compiled program."""
    memory, cost = program.get_compiled_memory_stats(), program.cost_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "flops": (cost[0] if isinstance(cost, list) else cost)["flops"],
    }


def main(path: str, topology: str, replicas: int) -> None:
    """Compiles the program and prints the line of JSON."""
    with open(path, "rb") as file:
        program = file.read()
    devices = pod(topology, replicas)
    start = time.monotonic()
    try:
        answer: Dict[str, Any] = figures(compile_program(program, devices))
    except xla_client.XlaRuntimeError as error:
        answer = {"refused": str(error)}
    print(json.dumps({**answer, "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""What computes a model fastest on a CPU, and on older ones than this: torch, OpenVINO or ONNX Runtime.

    python benchmarks/backends.py [--model NAME ...] [--limit ALL AVX512_CORE AVX2] [--threads N] [--side PX]
        [--cpu-time]

Each row is one way on one tile of the model's own size with its halo, or of `--side`, in a process of its own for each
limit: the median of the ratios to torch in float32, channels-last, measured in turn; the greatest difference of
probabilities from it; the seconds to begin, which are those of an export that is kept where there is one. `--cpu-time`
bears other work on the machine, with `--threads 1`: threads that wait for each other take CPU time too.

A limit (ONEDNN_MAX_CPU_ISA) keeps torch from newer instructions: AVX512_CORE is a CPU without bfloat16, AVX2 one
without AVX-512. It holds for torch alone: OpenVINO and ONNX Runtime look at the CPU themselves, so that their ratios at
AVX2 are those of a newer one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["pas-starter"], help="names or folders")
    parser.add_argument("--limit", nargs="+", default=["ALL", "AVX512_CORE", "AVX2"])
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    parser.add_argument("--side", type=int, help="of the tile in px [the model's own, with its halo]")
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time")
    parser.add_argument("--seconds", type=float, default=20, help="that each process measures")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    print("| model | torch limited to | threads | way | time / torch float32 | greatest difference | begins in |")
    print("|---|---|---|---|---|---|---|")
    for model in options.model:
        for limit in options.limit:
            show(model, limit, in_own_process(options, model, limit))


def measure(options: argparse.Namespace) -> dict[str, object]:
    from glomseg.models.device import limit_threads
    from glomseg.models.fastest import measure_machine

    if options.threads:
        limit_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    measured = measure_machine(options.model[0], seconds=options.seconds, tile_px=options.side, clock=clock)
    return asdict(measured)


def in_own_process(options: argparse.Namespace, model: str, limit: str) -> dict:
    command = [sys.executable, __file__, "--measure", "--model", model, "--seconds", str(options.seconds)]
    command += ["--threads", str(options.threads), *(["--cpu-time"] if options.cpu_time else [])]
    command += [] if options.side is None else ["--side", str(options.side)]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    if limit.startswith("AVX2"):
        environment["ATEN_CPU_CAPABILITY"] = "avx2"  # what torch computes without oneDNN
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def show(model: str, limit: str, measured: dict) -> None:
    for one in measured["ways"]:
        name = f"{one['way']['backend']} {one['way']['dtype']}"
        best = "**" if one["way"] == measured["fastest"] else ""
        if one["ratio"] is None:
            cells = (one["problem"], "", "")
        else:
            cells = (f"{best}{one['ratio']:.2f}{best}", f"{one['difference']:.1g}", f"{one['opening_seconds']:.1f} s")
        print("|", " | ".join((model, limit, str(measured["threads"]), name, *cells)), "|", flush=True)


if __name__ == "__main__":
    main()

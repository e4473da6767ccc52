"""Singular values by Python libraries, for `cargo xtask bench spectra`. One method in one process.

usage: peers.py versions
       peers.py METHOD --sizes 4096x4096,768x768 --data FILE --threads N [--values FILE]

METHOD is scipy-f32, scipy-f64, torch-f32, torch-f64 or weightwatcher. FILE holds BF16 values, one row-major
matrix after the other. Prints one line of JSON: seconds of the computation alone (weights are in memory in
the type that the library wants) and the peak memory of the process in MB.
"""

import argparse
import importlib
import json
import logging
import platform
import resource
import sys
import time
import warnings

import numpy


def versions():
    found = {"python": platform.python_version()}
    for name in ["numpy", "scipy", "torch", "weightwatcher"]:
        try:
            found[name] = importlib.import_module(name).__version__
        except Exception:  # a library that is there but does not load is as good as none
            continue
    return found


def read(path, sizes):
    stored = numpy.fromfile(path, dtype="<u2")
    values = (stored.astype(numpy.uint32) << 16).view(numpy.float32)
    matrices, first = [], 0
    for rows, columns in sizes:
        matrices.append(values[first : first + rows * columns].reshape(rows, columns))
        first += rows * columns
    return matrices


def scipy_method(kind):
    from scipy.linalg import svdvals

    def spectra(matrices):
        return [svdvals(matrix, check_finite=False) for matrix in matrices]

    return spectra, lambda matrices: [matrix.astype(kind) for matrix in matrices]


def torch_method(kind, threads):
    import torch

    torch.set_num_threads(threads)

    def spectra(matrices):
        return [torch.linalg.svdvals(matrix).numpy() for matrix in matrices]

    def prepare(matrices):
        return [torch.from_numpy(matrix.copy()).to(getattr(torch, kind)) for matrix in matrices]

    return spectra, prepare


def weightwatcher_method(threads):
    import torch

    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)
    import weightwatcher

    def analyze(model):
        details = weightwatcher.WeightWatcher(model=model).analyze()
        if len(details) != len(model):
            sys.exit(f"weightwatcher analyzed {len(details)} of {len(model)} matrices")
        return []

    def prepare(matrices):
        layers = []
        for matrix in matrices:
            rows, columns = matrix.shape
            layer = torch.nn.Linear(columns, rows, bias=False)
            layer.weight.data = torch.from_numpy(matrix.copy())
            layers.append(layer)
        return torch.nn.Sequential(*layers)

    return analyze, prepare


def main():
    if sys.argv[1:] == ["versions"]:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        print(json.dumps(versions()))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("--sizes", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--values")
    arguments = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes.split(",")]
    warnings.simplefilter("ignore")

    library, _, kind = arguments.method.partition("-")
    kind = {"f32": "float32", "f64": "float64", "": ""}[kind]
    if library == "scipy":
        run, prepare = scipy_method(kind)
    elif library == "torch":
        run, prepare = torch_method(kind, arguments.threads)
    elif library == "weightwatcher":
        run, prepare = weightwatcher_method(arguments.threads)
    else:
        sys.exit(f"no method {arguments.method}")

    # Untimed: threads start and code is loaded.
    generator = numpy.random.default_rng(0)
    run(prepare([generator.standard_normal((96, 64), dtype=numpy.float32)]))
    matrices = prepare(read(arguments.data, sizes))
    start = time.perf_counter()
    spectra = run(matrices)
    seconds = time.perf_counter() - start
    if arguments.values:
        with open(arguments.values, "wb") as file:
            for values in spectra:
                file.write(numpy.asarray(values, dtype="<f8").tobytes())
    # Linux counts kilobytes, macOS bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))


main()

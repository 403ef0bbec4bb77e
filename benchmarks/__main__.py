"""Run one scenario, or all: `python -m benchmarks [SCENARIO [arguments]]`."""

import importlib
import pkgutil
import sys

import benchmarks

scenarios = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.ispkg)
chosen, arguments = (sys.argv[1:2], sys.argv[2:]) if len(sys.argv) > 1 else (scenarios, [])
for name in chosen:
    if name not in scenarios:
        sys.exit(f"there is no scenario {name!r}; there are: {', '.join(scenarios)}")
    print(f"== {name}", flush=True)
    importlib.import_module(f"benchmarks.{name}.scenario").main(arguments)

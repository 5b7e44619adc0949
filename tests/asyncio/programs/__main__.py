"""Runs the programs of this folder on the installed asyncio and prints `<name>: <what it said>` for each.

A name with `~` instead of the colon: this Python is too old, the expected words stand in the C++ test.
"""

import importlib
import pathlib

import pairs

for file in sorted(pathlib.Path(__file__).parent.glob("*.py")):
    if file.stem not in ("__main__", "pairs"):
        importlib.import_module(file.stem)
for name in pairs.programs:
    sequence = pairs.run(name)
    print(f"{name}~" if sequence is None else f"{name}: {sequence}")

# SPDX-License-Identifier: Apache-2.0
"""Differential testing: programs drawn at random, compiled, and held to eager PyTorch's answers.

Run from ``tests/``: ``python -m differential --help``. docs/testing.md tells how to read, repeat and shrink a find.

    program.py    a program as plain data: inputs, constants, steps, calls; its module, its tensors, its script
    operators.py  the table of operators that programs are drawn from
    generate.py   draws a program from a seed and an index
    sources.py    where programs come from, by name
    opinfo.py     one-operator programs from PyTorch's OpInfo samples
    models.py     programs cut from models
    ways.py       the ways to run a program: module, exported program, TorchScript, AOTInductor
    oracle.py     runs a program eagerly and in one of those ways, and compares
    shrink.py     makes a program that fails smaller
    limits.py     known limits, as data
    controls.py   faults put back, and the programs that find them
    runner.py     worker processes, time limits, what becomes of a find
    journal.py    what a run is asked, and the file that keeps count of runs
"""

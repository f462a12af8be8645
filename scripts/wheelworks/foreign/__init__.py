"""Run Linux wheels for other CPUs under a real CPython: Debian's, under qemu-user, without root.

`run.run_wheel` is the entry point. It runs on Linux only; `cpus` and `site_packages` can be imported anywhere.
"""

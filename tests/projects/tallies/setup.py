from setuptools import Extension, setup

LIMITED = ("Py_LIMITED_API", "0x030b0000")
setup(
    ext_modules=[Extension("tallies._speedups", ["tallies/_speedups.c"], define_macros=[LIMITED], py_limited_api=True)],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

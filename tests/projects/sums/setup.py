from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "sums",
            ["sums.c"],
            define_macros=[("Py_LIMITED_API", "0x030b0000")],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

"""Real CPython for foreign Linux: Debian's CPython of another CPU, entered without root, under qemu-user.

`run.run_wheel` is the way in. It needs Linux; what is imported before it is asked for (`machines`, `roots`) doesn't.
"""

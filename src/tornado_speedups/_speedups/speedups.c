/* The extension as one translation unit: of the time that a small file takes to compile, most goes into Python.h. */

#include "arguments.c"
#include "frames.c"
#include "headers.c"
#include "mask.c"
#include "module.c"
#include "names.c"
#include "serialize.c"

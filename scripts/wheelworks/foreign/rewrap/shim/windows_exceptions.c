/* Exceptions. A module that throws one ends the process with a message: the run is then `unsupported`, since nothing here
   unwinds frames of Windows. */

#include "windows.h"

EXPORT(_CxxThrowException, void)(void *object, void *information)
{
    end_unsupported(STATUS_EXCEPTION, "C++ exception on Windows");
}

EXPORT(RaiseException, void)(u32 code, u32 flags, u32 count, const u64 *arguments)
{
    end_unsupported(STATUS_EXCEPTION, "exception 0x%08x on Windows", code);
}

/* Handlers of frames, called only while an exception is dispatched. */
EXPORT(__C_specific_handler, int)(void) { fail_shim("a handler of exceptions was called"); }
EXPORT(__CxxFrameHandler3, int)(void) { fail_shim("a handler of exceptions was called"); }
EXPORT(__CxxFrameHandler4, int)(void) { fail_shim("a handler of exceptions was called"); }

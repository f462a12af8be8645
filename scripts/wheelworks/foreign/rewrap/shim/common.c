/* What both systems' shims use. */

#include <unistd.h>

#include "shim.h"

void
end_unsupported(int status, const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    fflush(stdout);
    /* One write: other threads may print too. The newline before it ends a line that a test runner has begun. */
    dprintf(STDERR_FILENO, "\nwheelworks: unsupported: %s\n", line);
    _exit(status);
}

/* The stub of an import that nothing exports here calls this; see `symbols.py` of the rewrapper. */
EXPORT(unresolved, void)(const char *name)
{
    end_unsupported(STATUS_UNRESOLVED_CALL, "the module called %s, which isn't available here", name);
}

/* Functions of the shim, and those that are the same in glibc, for modules that look them up by name at run time. */

#include <dlfcn.h>

#include "shim.h"

static const char *const names[] = {
#include "same_names.inc" /* shims.py makes it from the system's list */
};

/* Return the function of the shim that an import of this name would be bound to, or NULL. */
void *
find_in_shim(const char *name)
{
    static void *library;
    Dl_info own;
    char prefixed[256];
    if (library == NULL && dladdr((void *)find_in_shim, &own)) {
        library = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    }
    snprintf(prefixed, sizeof(prefixed), PREFIX "%s", name);
    return library ? dlsym(library, prefixed) : NULL;
}

/* Return the function of glibc that an import of this name would be bound to, or NULL. */
void *
find_in_glibc(const char *name)
{
    static const char *const libraries[] = {"libc.so.6", "libm.so.6"}; /* in this order, as in symbols.py */
    size_t count = sizeof(names) / sizeof(*names), i = 0;
    while (i < count && strcmp(names[i], name) != 0) {
        i++;
    }
    void *found = NULL;
    for (size_t j = 0; i < count && found == NULL && j < 2; j++) {
        void *library = dlopen(libraries[j], RTLD_LAZY | RTLD_NOLOAD);
        found = library ? dlsym(library, name) : NULL;
    }
    return found;
}

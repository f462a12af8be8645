/* Closures of libffi: the library's own block isn't laid out as Apple's, whose fields modules read (cffi does).

   Each closure is a block as Apple has it, whose first word points to one of Linux's libffi. The code is that one's.
   Source: Apple's <ffi/ffi.h>: ffi_closure with FFI_EXEC_TRAMPOLINE_TABLE on ARM64, FFI_TRAMPOLINE_SIZE 24 on x86-64. */

#include <dlfcn.h>

#include "macos.h"

typedef struct {
    void *real; /* the first word of trampoline_table, trampoline_table_entry on ARM64; of `tramp` on x86-64 */
#if defined(__aarch64__)
    void *unused;
#else
    void *unused[2];
#endif
    void *cif;
    void (*function)(void *cif, void *result, void **arguments, void *user_data);
    void *user_data;
} AppleClosure;

enum { REAL_SIZE = 128 }; /* bytes: more than any ffi_closure of Linux has (aarch64: 48, x86-64: 56) */

static void *
find_libffi(const char *name)
{
    static void *library;
    if (library == NULL) {
        library = dlopen("libffi.so.8", RTLD_LAZY);
    }
    void *found = library ? dlsym(library, name) : NULL;
    if (found == NULL) {
        end_unsupported(STATUS_SHIM_FAILED, "closures of libffi: there is no libffi.so.8 with %s here", name);
    }
    return found;
}

EXPORT(ffi_closure_alloc, void *)(size_t size, void **code)
{
    void *(*allocate)(size_t, void **) = find_libffi("ffi_closure_alloc");
    AppleClosure *closure = calloc(1, size > sizeof(*closure) ? size : sizeof(*closure));
    if (closure != NULL && (closure->real = allocate(REAL_SIZE, code)) == NULL) {
        free(closure);
        closure = NULL;
    }
    return closure;
}

EXPORT(ffi_closure_free, void)(AppleClosure *closure)
{
    void (*give_back)(void *) = find_libffi("ffi_closure_free");
    if (closure != NULL) {
        give_back(closure->real);
    }
    free(closure);
}

EXPORT(ffi_prep_closure_loc, int)
(AppleClosure *closure, void *cif, void (*function)(void *, void *, void **, void *), void *user_data, void *code)
{
    int (*prepare)(void *, void *, void (*)(void *, void *, void **, void *), void *, void *) =
        find_libffi("ffi_prep_closure_loc");
    int status = prepare(closure->real, cif, function, user_data, code);
    if (status == 0) {
        closure->cif = cif;
        closure->function = function;
        closure->user_data = user_data;
    }
    return status;
}

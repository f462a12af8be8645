/* Modules by name and by address, and their functions.
   Source: https://learn.microsoft.com/windows/win32/api/libloaderapi */

#include <dlfcn.h>
#include <unistd.h>

#include "windows.h"

/* ---- modules: an image's handle is its address; those of Windows are names ---- */

/* Those with functions of the C language (C_RUNTIMES in symbols.py, but for the C++ library), and the others. */
static const char *const c_runtimes[] = {
    "kernel32", "ntdll", "ucrtbase", "msvcrt", "vcruntime140", "vcruntime140_1",
};
static const char *const system_modules[] = {
    "kernelbase", "ws2_32", "advapi32", "bcrypt", "bcryptprimitives",
};
#define RUNTIME_MODULE ((HANDLE)(uintptr_t)0x7FFC0000)
#define SYSTEM_MODULE ((HANDLE)(uintptr_t)0x7FFB0000)
#define PYTHON_MODULE ((HANDLE)(uintptr_t)0x7FFA0000)
#define PROGRAM_MODULE ((HANDLE)(uintptr_t)0x7FF90000)

static int
is_listed(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, list[i]) == 0) {
            return 1;
        }
    }
    return 0;
}
#define IS_LISTED(name, list) is_listed(name, list, sizeof(list) / sizeof(*list))

/* Return the handle of a library that the shim stands for. */
static HANDLE
find_module(const char *path)
{
    char name[64];
    const char *slash = strrchr(path, '\\'), *other = strrchr(path, '/');
    path = slash && slash > other ? slash + 1 : other ? other + 1 : path;
    size_t length = strlen(path);
    length -= length > 4 && strcasecmp(path + length - 4, ".dll") == 0 ? 4 : 0;
    snprintf(name, sizeof(name), "%.*s", (int)length, path);
    if (strncasecmp(name, "python3", 7) == 0) {
        return PYTHON_MODULE;
    }
    if (strncasecmp(name, "api-ms-win-crt-", 15) == 0 || IS_LISTED(name, c_runtimes)) {
        return RUNTIME_MODULE;
    }
    if (strncasecmp(name, "api-ms-win-", 11) == 0 || IS_LISTED(name, system_modules)) {
        return SYSTEM_MODULE;
    }
    fail(ERROR_MOD_NOT_FOUND);
    return NULL;
}

static HANDLE
find_wide_module(const WCHAR *name)
{
    char *narrow = copy_utf8(name);
    HANDLE module = narrow ? find_module(narrow) : NULL;
    free(narrow);
    return module;
}

EXPORT(GetModuleHandleA, HANDLE)(const char *name) { return name ? find_module(name) : PROGRAM_MODULE; }
EXPORT(GetModuleHandleW, HANDLE)(const WCHAR *name) { return name ? find_wide_module(name) : PROGRAM_MODULE; }
EXPORT(LoadLibraryA, HANDLE)(const char *name) { return find_module(name); }
EXPORT(LoadLibraryExA, HANDLE)(const char *name, HANDLE file, u32 flags) { return find_module(name); }
EXPORT(LoadLibraryW, HANDLE)(const WCHAR *name) { return find_wide_module(name); }
EXPORT(LoadLibraryExW, HANDLE)(const WCHAR *name, HANDLE file, u32 flags) { return find_wide_module(name); }
EXPORT(FreeLibrary, BOOL)(HANDLE module) { return 1; }               /* each handle is one of a library that stays */
EXPORT(DisableThreadLibraryCalls, BOOL)(HANDLE module) { return 1; } /* allowed to have no effect */

enum { FROM_ADDRESS = 4 };
EXPORT(GetModuleHandleExW, BOOL)(u32 flags, const WCHAR *name, HANDLE *to)
{
    const Image *image = flags & FROM_ADDRESS ? find_image(name) : NULL;
    *to = image ? image->base : flags & FROM_ADDRESS ? NULL : w_GetModuleHandleW(name);
    return *to ? 1 : fail(ERROR_MOD_NOT_FOUND);
}

/* Return what CPython itself exports; other libraries of the process may have functions of any name. */
static void *
find_in_python(const char *name)
{
    Dl_info python, its;
    void *found = dlsym(RTLD_DEFAULT, name);
    int known = found && dladdr((void *)PyErr_Occurred, &python) && dladdr(found, &its);
    return known && its.dli_fbase == python.dli_fbase ? found : NULL;
}

/* Find what an import of the name would be bound to (_choose_windows in symbols.py). A function that Windows has and
   isn't here is "not found": modules ask in this way for what may be missing. */
EXPORT(GetProcAddress, void *)(HANDLE module, const char *name)
{
    if ((uintptr_t)name < 0x10000) { /* a number */
        fail(ERROR_PROC_NOT_FOUND);
        return NULL;
    }
    if (module != RUNTIME_MODULE && module != SYSTEM_MODULE && module != PYTHON_MODULE) {
        end_unsupported(STATUS_SHIM_FAILED, "GetProcAddress(\"%s\") of a module of its own", name);
    }
    void *found = find_in_shim(name);
    if (found == NULL) {
        found = module == PYTHON_MODULE ? find_in_python(name) : module == RUNTIME_MODULE ? find_in_glibc(name) : NULL;
    }
    last_error = found ? last_error : ERROR_PROC_NOT_FOUND;
    return found;
}

EXPORT(RtlPcToFileHeader, void *)(void *address, void **base)
{
    const Image *image = find_image(address);
    return *base = image ? image->base : NULL;
}

/* ---- paths ---- */

static const char *
find_module_path(HANDLE module, char *buffer, size_t size)
{
    const Image *image = module && module != PROGRAM_MODULE ? find_image(module) : NULL;
    if (image != NULL) {
        Dl_info found;
        return dladdr(image->base, &found) && found.dli_fname ? found.dli_fname : image->name;
    }
    ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
    if (length < 0 || (module && module != PROGRAM_MODULE)) {
        return NULL;
    }
    buffer[length] = 0;
    return buffer;
}

#define MODULE_PATH(copy)                                                \
    char buffer[4096];                                                   \
    const char *path = find_module_path(module, buffer, sizeof(buffer)); \
    if (path == NULL) {                                                  \
        return (u32)fail(ERROR_MOD_NOT_FOUND);                           \
    }                                                                    \
    u32 length = copy(path, to, size);                                   \
    if (length > size) {                                                 \
        fail(ERROR_INSUFFICIENT_BUFFER);                                 \
        return size;                                                     \
    }                                                                    \
    return length
EXPORT(GetModuleFileNameW, u32)(HANDLE module, WCHAR *to, u32 size) { MODULE_PATH(copy_out); }
EXPORT(GetModuleFileNameA, u32)(HANDLE module, char *to, u32 size) { MODULE_PATH(copy_out_narrow); }

/* The process, the machine, the environment, and messages for errors.
   Source: https://learn.microsoft.com/windows/win32/api/sysinfoapi, processenv, winbase (FormatMessage). */

#include <sys/random.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "windows.h"

/* ---- the process and the machine ---- */

EXPORT(GetCurrentProcess, HANDLE)(void) { return INVALID_HANDLE_VALUE; }
EXPORT(GetCurrentProcessId, u32)(void) { return (u32)getpid(); }
EXPORT(IsDebuggerPresent, BOOL)(void) { return 0; }
EXPORT(GetExitCodeProcess, BOOL)(HANDLE process, u32 *code)
{
    *code = 259; /* STILL_ACTIVE */
    return process == INVALID_HANDLE_VALUE ? 1 : fail(ERROR_INVALID_HANDLE);
}

EXPORT(ExitProcess, void)(u32 code) { exit((int)code); }

/* What the C run-time ends with where a stack was overwritten, for one. */
EXPORT(TerminateProcess, BOOL)(HANDLE process, u32 code)
{
    if (process != INVALID_HANDLE_VALUE) {
        return fail(ERROR_INVALID_HANDLE);
    }
    dprintf(STDERR_FILENO, "\nthe module ended the process by TerminateProcess(0x%x)\n", code);
    _exit(code & 0xFF ? (int)(code & 0xFF) : code ? 1 : 0);
}

typedef struct { /* SYSTEM_INFO */
    u16 architecture, reserved;
    u32 page_size;
    u64 lowest, highest, processor_mask;
    u32 processors, processor_type, granularity;
    u16 level, revision;
} SystemInfo;
_Static_assert(sizeof(SystemInfo) == 48, "the layout of sysinfoapi.h");

EXPORT(GetSystemInfo, void)(SystemInfo *to)
{
    u32 count = (u32)sysconf(_SC_NPROCESSORS_ONLN);
    u64 mask = count >= 64 ? ~0ULL : (1ULL << count) - 1;
    *to = (SystemInfo){12, 0, 4096, 0x10000, 0x7FFFFFFEFFFF, mask, count, 0, 0x10000, 8, 0}; /* 12: ARM64 */
}
EXPORT(GetNativeSystemInfo, void)(SystemInfo *to) { w_GetSystemInfo(to); }

typedef struct { /* MEMORYSTATUSEX */
    u32 size, load;
    u64 physical, free_physical, page_file, free_page_file, address_space, free_address_space, extended;
} MemoryStatus;

EXPORT(GlobalMemoryStatusEx, BOOL)(MemoryStatus *to)
{
    struct sysinfo now;
    if (to->size != sizeof(*to) || sysinfo(&now) < 0) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    u64 all = (u64)now.totalram * now.mem_unit, left = (u64)(now.freeram + now.bufferram) * now.mem_unit;
    u64 swap = (u64)now.totalswap * now.mem_unit, left_swap = (u64)now.freeswap * now.mem_unit;
    u64 space = 0x7FFFFFFE0000;
    *to = (MemoryStatus){
        sizeof(*to), (u32)(100 - left * 100 / all), all, left, all + swap, left + left_swap, space, space, 0};
    return 1;
}

/* ---- the version: Windows 11, 10.0.26100 ---- */

typedef struct { /* OSVERSIONINFOEXW */
    u32 size, major, minor, build, platform;
    WCHAR service_pack[128];
    u16 pack_major, pack_minor, suite;
    u8 product, reserved;
} Version;

EXPORT(VerSetConditionMask, u64)(u64 mask, u32 kinds, u8 condition)
{
    for (int bit = 0; bit < 8; bit++) {
        mask |= kinds >> bit & 1 ? (u64)(condition & 7) << 3 * bit : 0;
    }
    return mask;
}

/* Conditions: equal 1, greater 2, greater or equal 3, less 4, less or equal 5 */
static BOOL
meets(u32 own, u32 wanted, u32 condition)
{
    switch (condition) {
    case 1: return own == wanted;
    case 2: return own > wanted;
    case 3: return own >= wanted;
    case 4: return own < wanted;
    case 5: return own <= wanted;
    default: return 0;
    }
}

EXPORT(VerifyVersionInfoW, BOOL)(const Version *wanted, u32 kinds, u64 mask)
{
    /* bit numbers: minor 0, major 1, build 2, platform 3, pack's minor 4, pack's major 5 */
    if (kinds & ~0x37u) {
        end_unsupported(STATUS_SHIM_FAILED, "VerifyVersionInfo of the kinds 0x%x", kinds);
    }
    const struct {
        int bit;
        u32 own, wanted;
    } parts[] = {{1, 10, wanted->major}, {0, 0, wanted->minor}, {5, 0, wanted->pack_major}, {4, 0, wanted->pack_minor}};
    BOOL met = !(kinds & 4) || meets(26100, wanted->build, mask >> 6 & 7);
    for (int i = 0; i < 4 && met; i++) { /* like one number: a later part counts where the earlier ones are equal */
        if (!(kinds >> parts[i].bit & 1)) {
            continue;
        }
        met = meets(parts[i].own, parts[i].wanted, mask >> 3 * parts[i].bit & 7);
        if (parts[i].own != parts[i].wanted) {
            break;
        }
    }
    return met ? 1 : fail(1150); /* ERROR_OLD_WIN_VERSION */
}

/* ---- environment ---- */

EXPORT(GetEnvironmentVariableW, u32)(const WCHAR *name, WCHAR *to, u32 size)
{
    char *narrow = copy_utf8(name);
    const char *value = narrow ? getenv(narrow) : NULL;
    free(narrow);
    last_error = value ? ERROR_SUCCESS : ERROR_ENVVAR_NOT_FOUND;
    return value ? copy_out(value, to, size) : 0;
}

EXPORT(GetEnvironmentVariableA, u32)(const char *name, char *to, u32 size)
{
    const char *value = getenv(name);
    last_error = value ? ERROR_SUCCESS : ERROR_ENVVAR_NOT_FOUND;
    return value ? copy_out_narrow(value, to, size) : 0;
}

EXPORT(SetEnvironmentVariableW, BOOL)(const WCHAR *name, const WCHAR *value)
{
    char *narrow_name = copy_utf8(name), *narrow_value = copy_utf8(value);
    int result = narrow_name ? narrow_value ? setenv(narrow_name, narrow_value, 1) : unsetenv(narrow_name) : -1;
    free(narrow_name);
    free(narrow_value);
    return result == 0 ? 1 : fail(ERROR_INVALID_PARAMETER);
}

/* All of the environment: texts that each end in a zero, then another zero. */
EXPORT(GetEnvironmentStringsW, WCHAR *)(void)
{
    size_t size = 1;
    for (char **text = environ; *text; text++) {
        size += to_utf16(*text, (size_t)-1, NULL, 0, NULL);
    }
    WCHAR *block = malloc(size * sizeof(WCHAR)), *at = block;
    for (char **text = environ; block && *text; text++) {
        at += to_utf16(*text, (size_t)-1, at, size, NULL);
    }
    if (block != NULL) {
        *at = 0;
    }
    return block;
}

EXPORT(FreeEnvironmentStringsW, BOOL)(WCHAR *block)
{
    free(block);
    return 1;
}

EXPORT(GetCommandLineA, char *)(void)
{
    static char line[] = "python";
    return line;
}
EXPORT(GetCommandLineW, WCHAR *)(void)
{
    static WCHAR line[] = u"python";
    return line;
}
EXPORT(GetStartupInfoW, void)(u32 *to)
{
    memset(to, 0, 104); /* STARTUPINFOW: nothing is set but its size */
    to[0] = 104;
}

/* ---- messages ---- */

enum { ALLOCATE_BUFFER = 0x100, FROM_SYSTEM = 0x1000, MESSAGE_NOT_FOUND = 317 };

static const char *
find_message(u32 flags, u32 error)
{
    if (!(flags & FROM_SYSTEM)) {
        fail_shim("FormatMessage of another source than the system");
    }
    const char *text = describe_error(error);
    last_error = text ? last_error : MESSAGE_NOT_FOUND;
    return text;
}

EXPORT(FormatMessageA, u32)(u32 flags, const void *source, u32 error, u32 language, char *to, u32 size, void *arguments)
{
    char line[256];
    const char *text = find_message(flags, error);
    if (text == NULL) {
        return 0;
    }
    u32 length = (u32)snprintf(line, sizeof(line), "%s\r\n", text);
    if (flags & ALLOCATE_BUFFER) { /* `to` is the address of a pointer; LocalFree() frees it */
        *(char **)to = strdup(line);
        return length;
    }
    return length < size ? copy_out_narrow(line, to, size) : (u32)fail(ERROR_INSUFFICIENT_BUFFER);
}

EXPORT(FormatMessageW, u32)(u32 flags, const void *source, u32 error, u32 language, WCHAR *to, u32 size,
                            void *arguments)
{
    char line[256];
    const char *text = find_message(flags, error);
    if (text == NULL) {
        return 0;
    }
    u32 length = (u32)snprintf(line, sizeof(line), "%s\r\n", text);
    if (flags & ALLOCATE_BUFFER) {
        *(WCHAR **)to = copy_utf16(line);
        return length;
    }
    return length < size ? copy_out(line, to, size) : (u32)fail(ERROR_INSUFFICIENT_BUFFER);
}

/* ---- random bytes: BCryptGenRandom, RtlGenRandom (SystemFunction036), ProcessPrng ---- */

static BOOL
fill_random(u8 *to, size_t count)
{
    while (count > 0) {
        ssize_t filled = getrandom(to, count, 0);
        if (filled < 0 && errno != EINTR) {
            return 0;
        }
        to += filled > 0 ? filled : 0;
        count -= filled > 0 ? (size_t)filled : 0;
    }
    return 1;
}

EXPORT(ProcessPrng, BOOL)(u8 *to, size_t count) { return fill_random(to, count); }
EXPORT(SystemFunction036, u8)(u8 *to, u32 count) { return (u8)fill_random(to, count); }
EXPORT(BCryptGenRandom, int)(HANDLE algorithm, u8 *to, u32 count, u32 flags)
{
    return fill_random(to, count) ? 0 : (int)0xC0000001; /* STATUS_UNSUCCESSFUL */
}

/* Providers of the older interface (wincrypt.h): one without keys, which only makes random bytes. */
#define VERIFY_CONTEXT 0xF0000000u
#define BAD_FLAGS 0x80090009u /* NTE_BAD_FLAGS */
enum { PROVIDER = 1, SILENT = 0x40 };

EXPORT(CryptAcquireContextW, BOOL)(u64 *to, const WCHAR *container, const WCHAR *name, u32 kind, u32 flags)
{
    if ((flags & ~(u32)SILENT) != VERIFY_CONTEXT) {
        return fail(BAD_FLAGS);
    }
    *to = PROVIDER;
    return 1;
}

EXPORT(CryptAcquireContextA, BOOL)(u64 *to, const char *container, const char *name, u32 kind, u32 flags)
{
    return w_CryptAcquireContextW(to, NULL, NULL, kind, flags);
}

EXPORT(CryptGenRandom, BOOL)(u64 provider, u32 count, u8 *to)
{
    return fill_random(to, count) ? 1 : fail(ERROR_GEN_FAILURE);
}

EXPORT(CryptReleaseContext, BOOL)(u64 provider, u32 flags) { return 1; }

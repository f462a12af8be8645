/* What the files of the Windows shim have in common. Types and constants are those of Windows' headers, by the names
   that Microsoft's documentation uses (https://learn.microsoft.com/windows/win32/api/). */

#ifndef WHEELWORKS_WINDOWS_H
#define WHEELWORKS_WINDOWS_H

#include "shim.h"

typedef int BOOL;
typedef u16 WCHAR; /* a UTF-16 unit; Linux's wchar_t has 32 bits */
typedef void *HANDLE;
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)
#define INFINITE 0xFFFFFFFFu

/* System error codes: https://learn.microsoft.com/windows/win32/debug/system-error-codes */
enum {
    ERROR_SUCCESS = 0,
    ERROR_FILE_NOT_FOUND = 2,
    ERROR_PATH_NOT_FOUND = 3,
    ERROR_TOO_MANY_OPEN_FILES = 4,
    ERROR_ACCESS_DENIED = 5,
    ERROR_INVALID_HANDLE = 6,
    ERROR_NOT_ENOUGH_MEMORY = 8,
    ERROR_NOT_SAME_DEVICE = 17,
    ERROR_NO_MORE_FILES = 18,
    ERROR_GEN_FAILURE = 31,
    ERROR_HANDLE_EOF = 38,
    ERROR_NOT_SUPPORTED = 50,
    ERROR_FILE_EXISTS = 80,
    ERROR_INVALID_PARAMETER = 87,
    ERROR_BROKEN_PIPE = 109,
    ERROR_DISK_FULL = 112,
    ERROR_INSUFFICIENT_BUFFER = 122,
    ERROR_MOD_NOT_FOUND = 126,
    ERROR_PROC_NOT_FOUND = 127,
    ERROR_DIR_NOT_EMPTY = 145,
    ERROR_BUSY = 170,
    ERROR_ALREADY_EXISTS = 183,
    ERROR_ENVVAR_NOT_FOUND = 203,
    ERROR_FILENAME_EXCED_RANGE = 206,
    ERROR_MORE_DATA = 234,
    ERROR_DIRECTORY = 267,
    ERROR_NOT_OWNER = 288,
    ERROR_TOO_MANY_POSTS = 298,
    ERROR_NO_UNICODE_TRANSLATION = 1113,
    ERROR_TIMEOUT = 1460,
};

/* A flag by its values on both systems, for tables. */
typedef struct {
    int windows, native;
} Flag;
#define TO_NATIVE_FLAGS(table, flags) convert_flags(table, sizeof(table) / sizeof(*table), flags, 1)
#define TO_WINDOWS_FLAGS(table, flags) convert_flags(table, sizeof(table) / sizeof(*table), flags, 0)

/* Return the flags of the other system. Those that the table lacks are dropped. */
static inline int
convert_flags(const Flag *table, size_t count, int flags, BOOL to_native)
{
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        if (flags & (to_native ? table[i].windows : table[i].native)) {
            result |= to_native ? table[i].native : table[i].windows;
        }
    }
    return result;
}

/* windows_errors.c */
extern __thread u32 last_error; /* GetLastError() */
u32 error_of_errno(int number); /* a system error code for one of Linux's errno */
int errno_of_error(u32 error);  /* the reverse; EINVAL for what has no counterpart */
BOOL fail(u32 error);           /* set the last error; returns 0 */
BOOL fail_errno(void);          /* the same from errno */
const char *describe_error(u32 error);

/* windows_text.c: UTF-16 and UTF-8 */
size_t wide_length(const WCHAR *text);
/* Convert to UTF-8. `count` is in units, (size_t)-1 for a text that ends in a zero, which is then converted too.
   Returns the bytes needed; writes at most `size`. Unpaired surrogates become U+FFFD, and set *invalid (or NULL). */
size_t to_utf8(const WCHAR *text, size_t count, char *to, size_t size, int *invalid);
/* Convert from UTF-8, likewise; returns the units needed. */
size_t to_utf16(const char *text, size_t count, WCHAR *to, size_t size, int *invalid);
char *copy_utf8(const WCHAR *text);  /* a new text, to be freed; NULL without memory or for NULL */
WCHAR *copy_utf16(const char *text); /* likewise */
char *copy_path(const WCHAR *path);  /* as copy_utf8(), with Linux's slashes and without the prefix \\?\ */
char *copy_narrow_path(const char *path);

/* windows_handles.c: objects that a handle names */
typedef enum {
    KIND_THREAD = 1,
    KIND_EVENT,
    KIND_SEMAPHORE,
    KIND_MUTEX,
    KIND_FILE,
    KIND_MAPPING,
    KIND_SEARCH,
    ANY_KIND = 0,
} Kind;

typedef struct {
    Kind kind;
    int references; /* handles, and a running thread */
    char *name;     /* of an event, a semaphore or a mutex, or NULL */
    BOOL signaled;  /* an event is set, a thread has ended */
    BOOL manual;    /* an event stays set until it is reset */
    u32 count;      /* of a semaphore; how often a mutex is owned */
    u32 limit;      /* of a semaphore */
    u32 owner;      /* a mutex' thread; a thread's number */
    u32 exit_code;  /* of a thread */
    u32 suspended;  /* how often a thread is to be resumed before it starts */
    int descriptor; /* of a file or a mapping */
    u64 size;       /* of a mapping */
    u32 access;     /* of a file: GENERIC_READ ... */
    void *data;     /* of a search */
    void (*close)(void *data);
} Object;

Object *make_object(Kind kind);           /* with one reference; NULL without memory */
HANDLE make_handle(Object *object);       /* takes the reference over; NULL without memory */
Object *borrow(HANDLE handle, Kind kind); /* with a reference of its own; NULL and the last error for another kind */
void release(Object *object);
Object *find_named(Kind kind, const char *name); /* likewise with a reference, or NULL */
HANDLE handle_of_descriptor(int descriptor);     /* a new handle of a file */
extern pthread_mutex_t objects_lock;             /* for the fields of all objects */
void announce_change(void);                      /* wake those that wait for an object; the lock is held */
u32 current_thread_id(void);

/* windows_locks.c */
int wait_until(u32 *word, u32 value, u32 milliseconds); /* wait while *word is value, at most so long; 0 on time-out */
void wake(u32 *word, int count);

/* windows_time.c */
u64 filetime_of(int64_t seconds, long nanoseconds);

/* windows_format.c: Microsoft's printf formats */
typedef struct {
    char *data; /* ends in a zero; the caller frees it */
    size_t length, capacity;
} Text;
/* Format all; `slots` is Windows' va_list; `wide_by_default`: %s is a wide text, %S a narrow one. */
Text format_all(u64 options, const char *format, const u64 *slots, int wide_by_default);

/* Copy a text to a caller's buffer: the length without the zero, or the size needed, which is larger than `size`. */
u32 copy_out(const char *text, WCHAR *to, u32 size);
u32 copy_out_narrow(const char *text, char *to, u32 size);

/* windows_start.c */
typedef struct
{ /* one entry of PE's exception directory on ARM64: https://learn.microsoft.com/cpp/build/arm64-exception-handling */
    u32 begin; /* an address relative to the image's base, as in `unwind` where its lower two bits are 0 */
    u32 unwind;
} RuntimeFunction;

typedef int EntryPoint(void *base, u32 reason, void *reserved);
typedef void TlsCallback(void *base, u32 reason, void *reserved);

/* What the rewrapper writes for each image; addresses are 0 where there is nothing. */
typedef struct {
    EntryPoint *entry;        /* the CRT's, which calls DllMain */
    u8 *base;                 /* where the image's header lies */
    u32 *tls_index;           /* _tls_index, through which the module's code finds its thread-local variables */
    const u8 *tls_data;       /* the first value of each thread's block ... */
    u64 tls_filled, tls_size; /* ... bytes of it that aren't zero, and all bytes */
    u64 tls_alignment;
    TlsCallback **callbacks;          /* ended by NULL */
    u64 size;                         /* bytes of memory from `base` on */
    const RuntimeFunction *functions; /* sorted by address */
    u64 functions_size;               /* in bytes */
    const char *name;                 /* of the module's file */
    u64 reserved;
} Image;

const Image *find_image(const void *address); /* the started image that an address lies in, or NULL */

#endif

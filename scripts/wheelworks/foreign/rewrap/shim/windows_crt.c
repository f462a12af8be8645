/* Microsoft's C run-time: start and end of a module, the process, its environment, and the heap.
   Source: https://learn.microsoft.com/cpp/c-runtime-library/, process.h and corecrt_startup.h of the Universal CRT. */

#include <malloc.h>
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include "windows.h"

/* ---- initialisers: tables of functions that the linker gathers from .CRT$XI* and .CRT$XC* ---- */

typedef void Function(void);
typedef int FunctionWithResult(void);

EXPORT(_initterm, void)(Function **function, Function **end)
{
    for (; function < end; function++) {
        if (*function != NULL) {
            (*function)();
        }
    }
}

EXPORT(_initterm_e, int)(FunctionWithResult **function, FunctionWithResult **end)
{
    int result = 0;
    for (; function < end && result == 0; function++) {
        result = *function ? (*function)() : 0;
    }
    return result;
}

/* ---- functions to call at the end: a module keeps a table of its own, {first, last, end}, which the CRT's entry point
   executes at DLL_PROCESS_DETACH. Images are never unloaded here, and no entry point is called at the end of a process:
   threads that Windows would have ended by then are still running. ---- */

typedef struct {
    FunctionWithResult **first, **last, **end;
} ExitTable;

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static ExitTable process_table;

EXPORT(_initialize_onexit_table, int)(ExitTable *table)
{
    if (table == NULL) {
        return -1;
    }
    if (table->first == table->end) {
        *table = (ExitTable){NULL, NULL, NULL};
    }
    return 0;
}

EXPORT(_register_onexit_function, int)(ExitTable *table, FunctionWithResult *function)
{
    if (table == NULL) {
        return -1;
    }
    int result = -1;
    pthread_mutex_lock(&table_lock);
    size_t count = (size_t)(table->last - table->first), capacity = (size_t)(table->end - table->first);
    FunctionWithResult **room = table->first;
    if (count == capacity && (room = realloc(table->first, (2 * capacity + 32) * sizeof(*room))) != NULL) {
        *table = (ExitTable){room, room + count, room + 2 * capacity + 32};
    }
    if (room != NULL) {
        *table->last++ = function;
        result = 0;
    }
    pthread_mutex_unlock(&table_lock);
    return result;
}

EXPORT(_execute_onexit_table, int)(ExitTable *table)
{
    pthread_mutex_lock(&table_lock);
    ExitTable taken = *table;
    *table = (ExitTable){NULL, NULL, NULL};
    pthread_mutex_unlock(&table_lock);
    while (taken.last > taken.first) {
        (*--taken.last)();
    }
    free(taken.first);
    return 0;
}

EXPORT(_crt_atexit, int)(FunctionWithResult *function) { return w__register_onexit_function(&process_table, function); }
EXPORT(_crt_at_quick_exit, int)(FunctionWithResult *function)
{
    return w__register_onexit_function(&process_table, function);
}
EXPORT(_cexit, void)(void) { w__execute_onexit_table(&process_table); }
EXPORT(_c_exit, void)(void) {}

/* ---- what a DLL's start-up sets: Python has its own arguments and environment ---- */

EXPORT(_configure_narrow_argv, int)(int mode) { return 0; }
EXPORT(_configure_wide_argv, int)(int mode) { return 0; }
EXPORT(_initialize_narrow_environment, int)(void) { return 0; }
EXPORT(_initialize_wide_environment, int)(void) { return 0; }
EXPORT(__std_type_info_destroy_list, void)(void *list) {}

/* The filter of the entry point's __except: only an exception would call it. */
EXPORT(_seh_filter_dll, int)(u32 code, void *pointers) { return 0; }

/* ---- errors ----

   errno keeps Linux's numbers, which Python's `errno` module has, too. They are Windows' up to 34 (ERANGE). */

EXPORT(_errno, int *)(void) { return &errno; }
EXPORT(_get_errno, int)(int *value)
{
    *value = errno;
    return 0;
}
EXPORT(_set_errno, int)(int value)
{
    errno = value;
    return 0;
}
EXPORT(__doserrno, u32 *)(void) { return &last_error; }

typedef void InvalidParameter(const WCHAR *expression, const WCHAR *function, const WCHAR *file, u32 line, uintptr_t);
static InvalidParameter *process_handler;
static __thread InvalidParameter *thread_handler;

EXPORT(_set_invalid_parameter_handler, InvalidParameter *)(InvalidParameter *handler)
{
    InvalidParameter *before = process_handler;
    process_handler = handler;
    return before;
}

EXPORT(_set_thread_local_invalid_parameter_handler, InvalidParameter *)(InvalidParameter *handler)
{
    InvalidParameter *before = thread_handler;
    thread_handler = handler;
    return before;
}

EXPORT(_get_invalid_parameter_handler, InvalidParameter *)(void) { return process_handler; }
EXPORT(_get_thread_local_invalid_parameter_handler, InvalidParameter *)(void) { return thread_handler; }

EXPORT(_invalid_parameter_noinfo, void)(void)
{
    InvalidParameter *handler = thread_handler ? thread_handler : process_handler;
    if (handler == NULL) {
        fail_shim("a function of the C run-time got an invalid parameter");
    }
    handler(NULL, NULL, NULL, 0, 0);
}

EXPORT(_invalid_parameter_noinfo_noreturn, void)(void)
{
    w__invalid_parameter_noinfo();
    fail_shim("a function of the C run-time got an invalid parameter");
}

EXPORT(strerror_s, int)(char *buffer, size_t size, int number)
{
    if (buffer == NULL || size == 0) {
        return EINVAL;
    }
    snprintf(buffer, size, "%s", strerror(number));
    return 0;
}

EXPORT(_wassert, void)(const WCHAR *expression, const WCHAR *file, u32 line)
{
    char *narrow_expression = copy_utf8(expression), *narrow_file = copy_utf8(file);
    fprintf(stderr, "Assertion failed: %s, file %s, line %u\n", narrow_expression, narrow_file, line);
    fflush(stderr);
    abort();
}

/* ---- signals: SIGINT 2, SIGILL 4, SIGFPE 8, SIGSEGV 11, SIGTERM 15 are Linux's; SIGBREAK 21, SIGABRT 22 ---- */

static int
convert_signal(int number)
{
    int same = number == SIGINT || number == SIGILL || number == SIGFPE || number == SIGSEGV || number == SIGTERM;
    return same ? number : number == 22 ? SIGABRT : -1;
}

typedef void SignalHandler(int);

EXPORT(signal, SignalHandler *)(int number, SignalHandler *handler)
{
    int converted = convert_signal(number);
    if (converted < 0) { /* SIG_ERR is -1 on both systems, SIG_DFL 0, SIG_IGN 1 */
        errno = EINVAL;
        return SIG_ERR;
    }
    return signal(converted, handler);
}

EXPORT(raise, int)(int number)
{
    int converted = convert_signal(number);
    return converted < 0 ? -1 : raise(converted);
}

/* ---- heap ---- */

EXPORT(_msize, size_t)(void *memory) { return malloc_usable_size(memory); }
EXPORT(_recalloc, void *)(void *memory, size_t count, size_t size)
{
    size_t bytes, before = memory ? malloc_usable_size(memory) : 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    char *larger = realloc(memory, bytes);
    if (larger != NULL && bytes > before) {
        memset(larger + before, 0, bytes - before);
    }
    return larger;
}
EXPORT(_malloc_base, void *)(size_t size) { return malloc(size); }
EXPORT(_calloc_base, void *)(size_t count, size_t size) { return calloc(count, size); }
EXPORT(_realloc_base, void *)(void *memory, size_t size) { return realloc(memory, size); }
EXPORT(_free_base, void)(void *memory) { free(memory); }

EXPORT(_aligned_malloc, void *)(size_t size, size_t alignment)
{
    void *memory = NULL;
    int error = posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size);
    errno = error ? error : errno;
    return error ? NULL : memory;
}

EXPORT(_aligned_free, void)(void *memory) { free(memory); }

EXPORT(_aligned_realloc, void *)(void *memory, size_t size, size_t alignment)
{
    if (size == 0) {
        free(memory);
        return NULL;
    }
    void *larger = w__aligned_malloc(size, alignment);
    if (larger != NULL && memory != NULL) {
        size_t before = malloc_usable_size(memory);
        memcpy(larger, memory, before < size ? before : size);
        free(memory);
    }
    return larger;
}

/* The handler of operator new, called where memory is short. */
typedef int NewHandler(size_t);
static NewHandler *new_handler;

EXPORT(_callnewh, int)(size_t size) { return new_handler ? new_handler(size) : 0; }

EXPORT(_set_new_handler, NewHandler *)(NewHandler *handler)
{
    NewHandler *before = new_handler;
    new_handler = handler;
    return before;
}

EXPORT(_set_new_mode, int)(int mode) { return 0; }
EXPORT(_query_new_mode, int)(void) { return 0; }

/* ---- environment ---- */

static int
copy_result(char *to, size_t size, const char *from, size_t *needed)
{
    size_t length = from ? strlen(from) + 1 : 0;
    *needed = length;
    if (to != NULL && size > 0) {
        to[0] = 0;
    }
    if (length == 0 || to == NULL) {
        return length == 0 || size == 0 ? 0 : EINVAL;
    }
    if (length > size) {
        return ERANGE;
    }
    memcpy(to, from, length);
    return 0;
}

EXPORT(getenv_s, int)(size_t *needed, char *to, size_t size, const char *name)
{
    return copy_result(to, size, getenv(name), needed);
}

EXPORT(_dupenv_s, int)(char **to, size_t *size, const char *name)
{
    const char *value = getenv(name);
    *to = value ? strdup(value) : NULL;
    if (size != NULL) {
        *size = value ? strlen(value) + 1 : 0;
    }
    return value && *to == NULL ? ENOMEM : 0;
}

EXPORT(_putenv_s, int)(const char *name, const char *value)
{
    int result = *value ? setenv(name, value, 1) : unsetenv(name); /* an empty value removes it */
    return result < 0 ? errno : 0;
}

EXPORT(_putenv, int)(const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        errno = EINVAL;
        return -1;
    }
    char *name = strndup(text, (size_t)(equals - text));
    int result = name ? w__putenv_s(name, equals + 1) : ENOMEM;
    free(name);
    return result ? -1 : 0;
}

EXPORT(_getpid, int)(void) { return getpid(); }

/* ---- random numbers: rand() is a generator of its own, up to 32767, for each thread ---- */

static __thread u32 random_state = 1;

EXPORT(srand, void)(u32 seed) { random_state = seed; }

EXPORT(rand, int)(void)
{
    random_state = random_state * 214013 + 2531011;
    return (int)(random_state >> 16 & 0x7FFF);
}

EXPORT(rand_s, int)(u32 *value) { return getrandom(value, sizeof(*value), 0) == sizeof(*value) ? 0 : EINVAL; }

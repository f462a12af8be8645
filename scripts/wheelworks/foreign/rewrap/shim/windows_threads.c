/* Threads, and their own slots.
   Source: https://learn.microsoft.com/windows/win32/api/processthreadsapi, process.h, fibersapi.h (FlsAlloc). */

#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <time.h>

#include "windows.h"

enum { CREATE_SUSPENDED = 4, STACK_SIZE_RESERVATION = 0x10000, STILL_ACTIVE = 259 };

typedef u32 ThreadFunction(void *argument);

typedef struct {
    ThreadFunction *function;
    void *argument;
    Object *object;
} Start;

static __thread Object *current; /* of this thread: with a reference */
static __thread jmp_buf *thread_end;
static pthread_key_t current_key; /* ends the object of a thread that isn't ours */

/* ---- the end of a thread ---- */

/* The destructor of a slot: it lets those of the module's slots run first, since code that waits for a thread expects
   them to have run. pthreads calls destructors again for slots that have been set anew. */
static void
end_object(void *argument)
{
    static __thread BOOL called;
    Object *object = argument;
    if (!called) {
        called = 1;
        pthread_setspecific(current_key, object);
        return;
    }
    pthread_mutex_lock(&objects_lock);
    object->signaled = 1;
    announce_change();
    pthread_mutex_unlock(&objects_lock);
    release(object);
}

Object *
borrow_current_thread(void)
{
    if (current == NULL && (current = make_object(KIND_THREAD)) != NULL) { /* a thread of Python's, or the first one */
        current->owner = current_thread_id();
        current->exit_code = STILL_ACTIVE;
        pthread_setspecific(current_key, current);
    }
    if (current != NULL) {
        pthread_mutex_lock(&objects_lock);
        current->references++;
        pthread_mutex_unlock(&objects_lock);
    }
    return current;
}

/* ---- the start of a thread ---- */

static void
await_resumption(Object *object)
{
    pthread_mutex_lock(&objects_lock);
    u32 *suspended = &object->suspended, value;
    while ((value = *suspended) > 0) {
        pthread_mutex_unlock(&objects_lock);
        wait_until(suspended, value, INFINITE);
        pthread_mutex_lock(&objects_lock);
    }
    pthread_mutex_unlock(&objects_lock);
}

static void *
run_thread(void *argument)
{
    Start start = *(Start *)argument;
    free(argument);
    current = start.object;
    current->owner = current_thread_id();
    wake(&current->owner, INT_MAX);
    pthread_setspecific(current_key, current);
    await_resumption(current);
    jmp_buf end;
    thread_end = &end;
    if (_setjmp(end) == 0) {
        u32 code = start.function(start.argument);
        start.object->exit_code = code;
    }
    return NULL; /* the slot's destructor ends the object */
}

static BOOL
start_thread(Start *start, size_t stack)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack > PTHREAD_STACK_MIN) {
        pthread_attr_setstacksize(&attributes, (stack + 0xFFFF) & ~(size_t)0xFFFF);
    }
    int error = pthread_create(&thread, &attributes, run_thread, start);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static HANDLE
create_thread(size_t stack, ThreadFunction *function, void *argument, u32 flags, u32 *id)
{
    if (flags & ~(CREATE_SUSPENDED | STACK_SIZE_RESERVATION)) {
        fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    Object *object = make_object(KIND_THREAD);
    Start *start = malloc(sizeof(Start));
    if (object == NULL || start == NULL) {
        release(object);
        free(start);
        fail(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    object->suspended = flags & CREATE_SUSPENDED ? 1 : 0;
    object->exit_code = STILL_ACTIVE;
    object->references = 3; /* the handle, the thread itself, and this function */
    *start = (Start){function, argument, object};
    HANDLE handle = make_handle(object);
    if (handle == NULL || !start_thread(start, stack)) {
        free(start);
        fail(ERROR_NOT_ENOUGH_MEMORY);
        return NULL; /* what is left of the object is lost: there is no memory for threads anyway */
    }
    while (object->owner == 0) { /* until the thread has its number */
        wait_until(&object->owner, 0, INFINITE);
    }
    if (id != NULL) {
        *id = object->owner;
    }
    release(object);
    return handle;
}

EXPORT(CreateThread, HANDLE)(void *security, size_t stack, ThreadFunction *function, void *argument, u32 flags, u32 *id)
{
    return create_thread(stack, function, argument, flags, id);
}

EXPORT(_beginthreadex, HANDLE)(void *security, u32 stack, ThreadFunction *function, void *argument, u32 flags, u32 *id)
{
    return create_thread(stack, function, argument, flags, id);
}

/* _beginthread: the thread itself closes the handle, so that nobody may wait for it. */
typedef struct {
    void (*function)(void *);
    void *argument;
} PlainStart;

static u32
run_plain(void *argument)
{
    PlainStart start = *(PlainStart *)argument;
    free(argument);
    start.function(start.argument);
    return 0;
}

extern BOOL w_CloseHandle(HANDLE);

EXPORT(_beginthread, HANDLE)(void (*function)(void *), u32 stack, void *argument)
{
    PlainStart *start = malloc(sizeof(PlainStart));
    if (start == NULL) {
        errno = EAGAIN;
        return INVALID_HANDLE_VALUE;
    }
    *start = (PlainStart){function, argument};
    HANDLE handle = create_thread(stack, run_plain, start, 0, NULL);
    if (handle == NULL) {
        free(start);
        errno = EAGAIN;
        return INVALID_HANDLE_VALUE;
    }
    w_CloseHandle(handle);
    return handle;
}

EXPORT(ExitThread, void)(u32 code)
{
    if (current != NULL) {
        current->exit_code = code;
    }
    if (thread_end != NULL) {
        _longjmp(*thread_end, 1);
    }
    pthread_exit(NULL);
}

EXPORT(_endthreadex, void)(u32 code) { w_ExitThread(code); }
EXPORT(_endthread, void)(void) { w_ExitThread(0); }
EXPORT(FreeLibraryAndExitThread, void)(HANDLE module, u32 code) { w_ExitThread(code); }

EXPORT(ResumeThread, u32)(HANDLE handle)
{
    Object *thread = borrow(handle, KIND_THREAD);
    if (thread == NULL) {
        return ~0u;
    }
    pthread_mutex_lock(&objects_lock);
    u32 before = thread->suspended;
    thread->suspended -= before > 0;
    wake(&thread->suspended, INT_MAX);
    pthread_mutex_unlock(&objects_lock);
    release(thread);
    return before;
}

/* ---- facts ---- */

EXPORT(GetExitCodeThread, BOOL)(HANDLE handle, u32 *code)
{
    Object *thread = handle == (HANDLE)-2 ? borrow_current_thread() : borrow(handle, KIND_THREAD);
    if (thread == NULL) {
        return 0;
    }
    *code = thread->signaled ? thread->exit_code : STILL_ACTIVE;
    release(thread);
    return 1;
}

EXPORT(GetCurrentThread, HANDLE)(void) { return (HANDLE)-2; }
EXPORT(GetCurrentThreadId, u32)(void) { return current_thread_id(); }
EXPORT(GetThreadId, u32)(HANDLE handle)
{
    Object *thread = handle == (HANDLE)-2 ? borrow_current_thread() : borrow(handle, KIND_THREAD);
    u32 id = thread ? thread->owner : 0;
    release(thread);
    return id;
}
EXPORT(GetThreadPriority, int)(HANDLE handle) { return 0; } /* normal: none has another one */
EXPORT(SetThreadPriority, BOOL)(HANDLE handle, int priority) { return priority == 0 ? 1 : fail(ERROR_ACCESS_DENIED); }
EXPORT(SwitchToThread, BOOL)(void) { return sched_yield() == 0; }
EXPORT(GetCurrentProcessorNumber, u32)(void) { return (u32)sched_getcpu(); }
EXPORT(IsThreadAFiber, BOOL)(void) { return 0; } /* fibers aren't available */

EXPORT(Sleep, void)(u32 milliseconds)
{
    if (milliseconds == 0) {
        sched_yield();
        return;
    }
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    do {
        if (milliseconds == INFINITE) {
            left.tv_sec = 1000000;
        }
    } while (nanosleep(&left, &left) < 0 || milliseconds == INFINITE);
}

EXPORT(SleepEx, u32)(u32 milliseconds, BOOL alertable)
{
    w_Sleep(milliseconds);
    return 0;
}

/* ---- slots of a thread; a fiber's are the thread's ---- */

enum { OUT_OF_INDEXES = -1 };

static u32
allocate_slot(void (*destructor)(void *))
{
    pthread_key_t key;
    if (pthread_key_create(&key, destructor) != 0) {
        fail(ERROR_NOT_ENOUGH_MEMORY);
        return (u32)OUT_OF_INDEXES;
    }
    return key;
}

static void *
get_slot(u32 slot)
{
    last_error = ERROR_SUCCESS; /* so that NULL can be told from an error */
    return pthread_getspecific(slot);
}

static BOOL
set_slot(u32 slot, void *value)
{
    return pthread_setspecific(slot, value) == 0 ? 1 : fail(ERROR_INVALID_PARAMETER);
}

static BOOL
free_slot(u32 slot)
{
    return pthread_key_delete(slot) == 0 ? 1 : fail(ERROR_INVALID_PARAMETER);
}

EXPORT(TlsAlloc, u32)(void) { return allocate_slot(NULL); }
EXPORT(TlsGetValue, void *)(u32 slot) { return get_slot(slot); }
EXPORT(TlsSetValue, BOOL)(u32 slot, void *value) { return set_slot(slot, value); }
EXPORT(TlsFree, BOOL)(u32 slot) { return free_slot(slot); }
EXPORT(FlsAlloc, u32)(void (*callback)(void *)) { return allocate_slot(callback); }
EXPORT(FlsGetValue, void *)(u32 slot) { return get_slot(slot); }
EXPORT(FlsSetValue, BOOL)(u32 slot, void *value) { return set_slot(slot, value); }
EXPORT(FlsFree, BOOL)(u32 slot) { return free_slot(slot); }

__attribute__((constructor)) static void
start_threads(void)
{
    pthread_key_create(&current_key, end_object);
}

/* Waiting for objects: threads, events, semaphores and mutexes. One lock and one condition serve all of them.
   Source: https://learn.microsoft.com/windows/win32/sync/wait-functions, .../api/synchapi */

#include <time.h>

#include "windows.h"

enum { WAIT_OBJECT = 0, WAIT_TIMEOUT = 258, MOST_OBJECTS = 64 };
#define WAIT_FAILED 0xFFFFFFFFu

static pthread_cond_t changed;

void
announce_change(void)
{
    pthread_cond_broadcast(&changed);
}

/* Take the object if it is signaled; the lock is held. */
static BOOL
take(Object *object)
{
    u32 self = current_thread_id();
    switch (object->kind) {
    case KIND_THREAD: return object->signaled;
    case KIND_EVENT: {
        BOOL signaled = object->signaled;
        object->signaled = signaled && object->manual;
        return signaled;
    }
    case KIND_SEMAPHORE: return object->count > 0 && object->count--;
    case KIND_MUTEX:
        if (object->count > 0 && object->owner != self) {
            return 0;
        }
        object->owner = self;
        object->count++;
        return 1;
    default: fail_shim("a wait for a handle that isn't of a thread, an event, a semaphore or a mutex");
    }
}

static BOOL
would_take(const Object *object)
{
    return object->kind == KIND_SEMAPHORE ? object->count > 0
           : object->kind == KIND_MUTEX   ? object->count == 0 || object->owner == current_thread_id()
                                          : object->signaled;
}

/* Take one object, or all at once: the index of the one, 0 for all, or -1. */
static int
take_any(Object **wanted, u32 count, BOOL all)
{
    for (u32 i = 0; i < count && !all; i++) {
        if (take(wanted[i])) {
            return (int)i;
        }
    }
    for (u32 i = 0; i < count && all; i++) {
        if (!would_take(wanted[i])) {
            return -1;
        }
    }
    for (u32 i = 0; i < count && all; i++) {
        take(wanted[i]);
    }
    return all ? 0 : -1;
}

static u32
wait_for(Object **wanted, u32 count, BOOL all, u32 milliseconds)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    u64 nanoseconds = (u64)end.tv_nsec + (u64)milliseconds * 1000000;
    end.tv_sec += (time_t)(nanoseconds / 1000000000);
    end.tv_nsec = (long)(nanoseconds % 1000000000);
    int taken, error = milliseconds == 0 ? ETIMEDOUT : 0;
    pthread_mutex_lock(&objects_lock);
    while ((taken = take_any(wanted, count, all)) < 0 && error != ETIMEDOUT) { /* also once after the time is over */
        error = milliseconds == INFINITE ? pthread_cond_wait(&changed, &objects_lock)
                                         : pthread_cond_timedwait(&changed, &objects_lock, &end);
    }
    pthread_mutex_unlock(&objects_lock);
    return taken >= 0 ? WAIT_OBJECT + (u32)taken : WAIT_TIMEOUT;
}

EXPORT(WaitForMultipleObjects, u32)(u32 count, const HANDLE *handles, BOOL all, u32 milliseconds)
{
    Object *wanted[MOST_OBJECTS];
    u32 found = 0, result = WAIT_FAILED;
    if (count == 0 || count > MOST_OBJECTS) {
        fail(ERROR_INVALID_PARAMETER);
        return WAIT_FAILED;
    }
    while (found < count && (wanted[found] = borrow(handles[found], ANY_KIND)) != NULL) {
        found++;
    }
    if (found == count) {
        result = wait_for(wanted, count, all, milliseconds);
    }
    while (found > 0) {
        release(wanted[--found]);
    }
    return result;
}

EXPORT(WaitForMultipleObjectsEx, u32)(u32 count, const HANDLE *handles, BOOL all, u32 milliseconds, BOOL alertable)
{
    return w_WaitForMultipleObjects(count, handles, all, milliseconds);
}

EXPORT(WaitForSingleObject, u32)(HANDLE handle, u32 milliseconds)
{
    return w_WaitForMultipleObjects(1, &handle, 0, milliseconds);
}

EXPORT(WaitForSingleObjectEx, u32)(HANDLE handle, u32 milliseconds, BOOL alertable)
{
    return w_WaitForMultipleObjects(1, &handle, 0, milliseconds);
}

/* ---- events, semaphores, mutexes ---- */

/* Return a handle of a new object, or of the one with that name, which is then ERROR_ALREADY_EXISTS. Frees `name`. */
static HANDLE
create_named(Kind kind, char *name, Object values)
{
    Object *object = find_named(kind, name);
    u32 error = object ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS;
    if (object != NULL) {
        free(name);
    } else if ((object = make_object(kind)) != NULL) {
        object->name = name;
        object->signaled = values.signaled;
        object->manual = values.manual;
        object->count = values.count;
        object->limit = values.limit;
        object->owner = values.owner;
    }
    HANDLE handle = make_handle(object);
    last_error = handle ? error : last_error;
    return handle;
}

static char *
copy_name(const char *name)
{
    return name ? strdup(name) : NULL;
}

#define EVENT ((Object){.manual = manual != 0, .signaled = set != 0})
EXPORT(CreateEventW, HANDLE)(void *security, BOOL manual, BOOL set, const WCHAR *name)
{
    return create_named(KIND_EVENT, copy_utf8(name), EVENT);
}
EXPORT(CreateEventA, HANDLE)(void *security, BOOL manual, BOOL set, const char *name)
{
    return create_named(KIND_EVENT, copy_name(name), EVENT);
}

static BOOL
set_event(HANDLE handle, BOOL signaled)
{
    Object *event = borrow(handle, KIND_EVENT);
    if (event == NULL) {
        return 0;
    }
    pthread_mutex_lock(&objects_lock);
    event->signaled = signaled;
    announce_change();
    pthread_mutex_unlock(&objects_lock);
    release(event);
    return 1;
}

EXPORT(SetEvent, BOOL)(HANDLE handle) { return set_event(handle, 1); }
EXPORT(ResetEvent, BOOL)(HANDLE handle) { return set_event(handle, 0); }

#define SEMAPHORE ((Object){.count = (u32)count, .limit = (u32)limit})
EXPORT(CreateSemaphoreW, HANDLE)(void *security, int count, int limit, const WCHAR *name)
{
    return create_named(KIND_SEMAPHORE, copy_utf8(name), SEMAPHORE);
}
EXPORT(CreateSemaphoreA, HANDLE)(void *security, int count, int limit, const char *name)
{
    return create_named(KIND_SEMAPHORE, copy_name(name), SEMAPHORE);
}

EXPORT(ReleaseSemaphore, BOOL)(HANDLE handle, int count, int *before)
{
    Object *semaphore = borrow(handle, KIND_SEMAPHORE);
    if (semaphore == NULL) {
        return 0;
    }
    pthread_mutex_lock(&objects_lock);
    BOOL fits = count > 0 && (u64)semaphore->count + (u32)count <= semaphore->limit;
    if (before != NULL) {
        *before = (int)semaphore->count;
    }
    semaphore->count += fits ? (u32)count : 0;
    announce_change();
    pthread_mutex_unlock(&objects_lock);
    release(semaphore);
    return fits ? 1 : fail(ERROR_TOO_MANY_POSTS);
}

#define MUTEX ((Object){.count = owned ? 1 : 0, .owner = owned ? current_thread_id() : 0})
EXPORT(CreateMutexW, HANDLE)(void *security, BOOL owned, const WCHAR *name)
{
    return create_named(KIND_MUTEX, copy_utf8(name), MUTEX);
}
EXPORT(CreateMutexA, HANDLE)(void *security, BOOL owned, const char *name)
{
    return create_named(KIND_MUTEX, copy_name(name), MUTEX);
}

EXPORT(ReleaseMutex, BOOL)(HANDLE handle)
{
    Object *mutex = borrow(handle, KIND_MUTEX);
    if (mutex == NULL) {
        return 0;
    }
    pthread_mutex_lock(&objects_lock);
    BOOL owned = mutex->count > 0 && mutex->owner == current_thread_id();
    mutex->count -= owned ? 1 : 0;
    announce_change();
    pthread_mutex_unlock(&objects_lock);
    release(mutex);
    return owned ? 1 : fail(ERROR_NOT_OWNER);
}

__attribute__((constructor)) static void
start_waiting(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

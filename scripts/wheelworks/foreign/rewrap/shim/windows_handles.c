/* Handles, and the objects that they name.

   A handle is a small multiple of 4, as on Windows. Other threads find objects by name, other processes don't.
   Source: https://learn.microsoft.com/windows/win32/sysinfo/handles-and-objects */

#include <sys/syscall.h>
#include <unistd.h>

#include "windows.h"

pthread_mutex_t objects_lock = PTHREAD_MUTEX_INITIALIZER;
static Object **objects; /* by the handle's number; NULL: free */
static u32 object_count;

u32
current_thread_id(void)
{
    static __thread u32 id, process;
    if (process != (u32)getpid()) { /* a fork's child is another thread */
        process = (u32)getpid();
        id = (u32)syscall(SYS_gettid);
    }
    return id;
}

/* ---- objects and handles ---- */

Object *
make_object(Kind kind)
{
    Object *object = calloc(1, sizeof(Object));
    if (object == NULL) {
        last_error = ERROR_NOT_ENOUGH_MEMORY;
        return NULL;
    }
    object->kind = kind;
    object->references = 1;
    object->descriptor = -1;
    return object;
}

static void
destroy(Object *object)
{
    if (object->close != NULL) {
        object->close(object->data);
    }
    if (object->descriptor > 2) { /* the standard streams stay open */
        close(object->descriptor);
    }
    free(object->name);
    free(object);
}

void
release(Object *object)
{
    if (object == NULL) {
        return;
    }
    pthread_mutex_lock(&objects_lock);
    int left = --object->references;
    pthread_mutex_unlock(&objects_lock);
    if (left == 0) {
        destroy(object);
    }
}

static HANDLE
handle_of(u32 number)
{
    return (HANDLE)((uintptr_t)(number + 1) * 4);
}

/* The object's number in the table of handles, with the lock held; -1 without memory. */
static int
store(Object *object)
{
    for (u32 i = 0; i < object_count; i++) {
        if (objects[i] == NULL) {
            objects[i] = object;
            return (int)i;
        }
    }
    u32 larger = 2 * object_count + 16;
    Object **table = realloc(objects, larger * sizeof(*table));
    if (table == NULL) {
        return -1;
    }
    memset(table + object_count, 0, (larger - object_count) * sizeof(*table));
    objects = table;
    int number = (int)object_count;
    object_count = larger;
    objects[number] = object;
    return number;
}

HANDLE
make_handle(Object *object)
{
    if (object == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&objects_lock);
    int number = store(object);
    pthread_mutex_unlock(&objects_lock);
    if (number < 0) {
        release(object);
        last_error = ERROR_NOT_ENOUGH_MEMORY;
        return NULL;
    }
    return handle_of((u32)number);
}

static Object **
find_place(HANDLE handle)
{
    uintptr_t number = (uintptr_t)handle / 4 - 1;
    return (uintptr_t)handle % 4 == 0 && number < object_count && objects[number] ? &objects[number] : NULL;
}

Object *
borrow(HANDLE handle, Kind kind)
{
    pthread_mutex_lock(&objects_lock);
    Object **place = find_place(handle);
    Object *object = place && (kind == ANY_KIND || (*place)->kind == kind) ? *place : NULL;
    if (object != NULL) {
        object->references++;
    }
    pthread_mutex_unlock(&objects_lock);
    last_error = object ? last_error : ERROR_INVALID_HANDLE;
    return object;
}

Object *
find_named(Kind kind, const char *name)
{
    Object *found = NULL;
    pthread_mutex_lock(&objects_lock);
    for (u32 i = 0; i < object_count && name != NULL && found == NULL; i++) {
        if (objects[i] && objects[i]->kind == kind && objects[i]->name && strcmp(objects[i]->name, name) == 0) {
            found = objects[i];
            found->references++;
        }
    }
    pthread_mutex_unlock(&objects_lock);
    return found;
}

EXPORT(CloseHandle, BOOL)(HANDLE handle)
{
    if (handle == INVALID_HANDLE_VALUE || handle == (HANDLE)-2) { /* the process and the thread that ask */
        return 1;
    }
    pthread_mutex_lock(&objects_lock);
    Object **place = find_place(handle), *object = place ? *place : NULL;
    if (place != NULL) {
        *place = NULL;
    }
    pthread_mutex_unlock(&objects_lock);
    if (object == NULL) {
        return fail(ERROR_INVALID_HANDLE);
    }
    release(object);
    return 1;
}

extern Object *borrow_current_thread(void);

enum { DUPLICATE_CLOSE_SOURCE = 1 };
EXPORT(DuplicateHandle, BOOL)
(HANDLE process, HANDLE handle, HANDLE other_process, HANDLE *to, u32 access, BOOL inherit, u32 options)
{
    if (process != INVALID_HANDLE_VALUE || other_process != INVALID_HANDLE_VALUE) {
        fail_shim("DuplicateHandle with another process");
    }
    Object *object = handle == (HANDLE)-2 ? borrow_current_thread() : borrow(handle, ANY_KIND);
    HANDLE copy = make_handle(object);
    if (copy == NULL) {
        return 0;
    }
    if (options & DUPLICATE_CLOSE_SOURCE) {
        w_CloseHandle(handle);
    }
    if (to != NULL) {
        *to = copy;
    }
    return 1;
}

EXPORT(SetHandleInformation, BOOL)(HANDLE handle, u32 mask, u32 flags)
{
    return flags & mask & ~1u ? fail(ERROR_NOT_SUPPORTED) : 1; /* inheritance: no child of ours inherits a handle */
}

/* Semaphores of dispatch and of Mach, os_unfair_lock, and waiting for addresses (__ulock_wait).

   Sources: Apple's <dispatch/semaphore.h>, <dispatch/time.h>, <mach/semaphore.h>, <mach/sync_policy.h>, <os/lock.h>,
   and XNU's <sys/ulock.h>. */

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "macos.h"

#define BILLION 1000000000

/* ---- a counting semaphore ---- */

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long count;
    long references;
} Semaphore;

static Semaphore *
create_semaphore(long count)
{
    Semaphore *semaphore = malloc(sizeof(*semaphore));
    if (semaphore == NULL) {
        return NULL;
    }
    pthread_condattr_t attribute;
    pthread_condattr_init(&attribute);
    pthread_condattr_setclock(&attribute, CLOCK_MONOTONIC);
    pthread_cond_init(&semaphore->changed, &attribute);
    pthread_mutex_init(&semaphore->mutex, NULL);
    semaphore->count = count;
    semaphore->references = 1;
    return semaphore;
}

static void
free_semaphore(Semaphore *semaphore)
{
    pthread_cond_destroy(&semaphore->changed);
    pthread_mutex_destroy(&semaphore->mutex);
    free(semaphore);
}

static void
signal_semaphore(Semaphore *semaphore)
{
    pthread_mutex_lock(&semaphore->mutex);
    semaphore->count++;
    pthread_cond_signal(&semaphore->changed);
    pthread_mutex_unlock(&semaphore->mutex);
}

#define FOREVER UINT64_MAX

/* Wait until a time of CLOCK_MONOTONIC in nanoseconds. Returns 0, or ETIMEDOUT. */
static int
wait_semaphore(Semaphore *semaphore, u64 until)
{
    struct timespec end = {until / BILLION, until % BILLION};
    int error = 0;
    pthread_mutex_lock(&semaphore->mutex);
    while (semaphore->count <= 0 && error == 0) {
        error = until == FOREVER ? pthread_cond_wait(&semaphore->changed, &semaphore->mutex)
                                 : pthread_cond_timedwait(&semaphore->changed, &semaphore->mutex, &end);
    }
    if (semaphore->count > 0) {
        semaphore->count--;
        error = 0;
    }
    pthread_mutex_unlock(&semaphore->mutex);
    return error;
}

/* ---- dispatch: a time is a number of nanoseconds of mach_absolute_time(), ~0 for never ---- */

EXPORT(dispatch_time, u64)(u64 when, int64_t delta)
{
    if (when == FOREVER) {
        return FOREVER;
    }
    if ((int64_t)when < 0) {
        fail_shim("dispatch_time() with a time of the wall clock");
    }
    u64 base = when == 0 ? read_nanoseconds(CLOCK_MONOTONIC) : when;
    if (delta < 0) {
        return base > -(u64)delta ? base + delta : 1;
    }
    u64 sum = base + delta;
    return sum > INT64_MAX ? FOREVER : sum;
}

EXPORT(dispatch_semaphore_create, Semaphore *)(intptr_t count) { return count < 0 ? NULL : create_semaphore(count); }

EXPORT(dispatch_semaphore_signal, intptr_t)(Semaphore *semaphore)
{
    signal_semaphore(semaphore);
    return 0; /* not known: whether a thread was woken */
}

EXPORT(dispatch_semaphore_wait, intptr_t)(Semaphore *semaphore, u64 until)
{
    if (until != FOREVER && (int64_t)until < 0) {
        fail_shim("dispatch_semaphore_wait() with a time of the wall clock");
    }
    return wait_semaphore(semaphore, until) == 0 ? 0 : 49; /* KERN_OPERATION_TIMED_OUT */
}

/* Semaphores are the only objects of dispatch that exist here. */
EXPORT(dispatch_retain, void)(Semaphore *semaphore)
{
    __atomic_add_fetch(&semaphore->references, 1, __ATOMIC_RELAXED);
}

EXPORT(dispatch_release, void)(Semaphore *semaphore)
{
    if (__atomic_sub_fetch(&semaphore->references, 1, __ATOMIC_ACQ_REL) == 0) {
        free_semaphore(semaphore);
    }
}

/* ---- Mach's semaphores: named by numbers ---- */

enum {
    MOST_SEMAPHORES = 4096,
    KERN_SUCCESS = 0,
    KERN_INVALID_ARGUMENT = 4,
    KERN_RESOURCE_SHORTAGE = 6,
    KERN_OPERATION_TIMED_OUT = 49,
};

static Semaphore *semaphores[MOST_SEMAPHORES]; /* number 0 names none */
static pthread_mutex_t numbering = PTHREAD_MUTEX_INITIALIZER;

static Semaphore *
find_semaphore(u32 number)
{
    return number < MOST_SEMAPHORES ? __atomic_load_n(&semaphores[number], __ATOMIC_ACQUIRE) : NULL;
}

EXPORT(semaphore_create, int)(u32 task, u32 *number, int policy, int count)
{
    int result = KERN_RESOURCE_SHORTAGE;
    pthread_mutex_lock(&numbering);
    for (u32 i = 1; i < MOST_SEMAPHORES; i++) {
        if (semaphores[i] == NULL && (semaphores[i] = create_semaphore(count)) != NULL) {
            *number = i;
            result = KERN_SUCCESS;
            break;
        }
    }
    pthread_mutex_unlock(&numbering);
    return result;
}

EXPORT(semaphore_destroy, int)(u32 task, u32 number)
{
    Semaphore *semaphore = find_semaphore(number);
    if (semaphore == NULL) {
        return KERN_INVALID_ARGUMENT;
    }
    __atomic_store_n(&semaphores[number], NULL, __ATOMIC_RELEASE);
    free_semaphore(semaphore);
    return KERN_SUCCESS;
}

EXPORT(semaphore_signal, int)(u32 number)
{
    Semaphore *semaphore = find_semaphore(number);
    if (semaphore == NULL) {
        return KERN_INVALID_ARGUMENT;
    }
    signal_semaphore(semaphore);
    return KERN_SUCCESS;
}

EXPORT(semaphore_wait, int)(u32 number)
{
    Semaphore *semaphore = find_semaphore(number);
    if (semaphore == NULL) {
        return KERN_INVALID_ARGUMENT;
    }
    wait_semaphore(semaphore, FOREVER);
    return KERN_SUCCESS;
}

typedef struct {
    u32 seconds, nanoseconds;
} MachTimespec;

EXPORT(semaphore_timedwait, int)(u32 number, MachTimespec duration)
{
    Semaphore *semaphore = find_semaphore(number);
    if (semaphore == NULL) {
        return KERN_INVALID_ARGUMENT;
    }
    u64 until = read_nanoseconds(CLOCK_MONOTONIC) + (u64)duration.seconds * BILLION + duration.nanoseconds;
    return wait_semaphore(semaphore, until) == 0 ? KERN_SUCCESS : KERN_OPERATION_TIMED_OUT;
}

/* ---- os_unfair_lock: 0 is free, 1 is locked, 2 is locked and waited for ---- */

/* This is the third mutex of Ulrich Drepper's "Futexes Are Tricky". */

static long
call_futex(u32 *word, int operation, u32 value, const struct timespec *duration)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, duration, NULL, 0);
}

EXPORT(os_unfair_lock_lock, void)(u32 *lock)
{
    u32 found = 0;
    if (__atomic_compare_exchange_n(lock, &found, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE) != 0) {
        call_futex(lock, FUTEX_WAIT, 2, NULL);
    }
}

EXPORT(os_unfair_lock_trylock, _Bool)(u32 *lock)
{
    u32 found = 0;
    return __atomic_compare_exchange_n(lock, &found, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

EXPORT(os_unfair_lock_unlock, void)(u32 *lock)
{
    if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2) {
        call_futex(lock, FUTEX_WAKE, 1, NULL);
    }
}

EXPORT(os_unfair_lock_lock_with_options, void)(u32 *lock, u32 options) { m_os_unfair_lock_lock(lock); }

/* ---- waiting for an address, as libc++'s std::atomic::wait() does ---- */

enum {
    UL_COMPARE_AND_WAIT = 1,
    UL_COMPARE_AND_WAIT64 = 5,
    ULF_WAKE_ALL = 0x100,
    ULF_NO_ERRNO = 0x1000000, /* the result is the negative error */
};

static int
end_ulock(u32 operation, int error)
{
    if (operation & ULF_NO_ERRNO) {
        return -to_apple_error(error);
    }
    errno = error;
    return -1;
}

/* A futex compares 32 bits. A change of only the upper half of 64 bits is seen before the wait, and wakes it. */
EXPORT(__ulock_wait, int)(u32 operation, void *address, u64 value, u32 microseconds)
{
    struct timespec duration = {microseconds / 1000000, microseconds % 1000000 * 1000L};
    u32 kind = operation & 0xFF;
    if (kind != UL_COMPARE_AND_WAIT && kind != UL_COMPARE_AND_WAIT64) {
        fail_shim("__ulock_wait() for another purpose than to compare and wait");
    }
    if (kind == UL_COMPARE_AND_WAIT64 && __atomic_load_n((u64 *)address, __ATOMIC_SEQ_CST) != value) {
        return 0;
    }
    int before = errno;
    if (call_futex(address, FUTEX_WAIT, value, microseconds == 0 ? NULL : &duration) == 0 || errno == EAGAIN) {
        errno = before;
        return 0; /* the number of other waiters isn't known */
    }
    int error = errno;
    errno = before;
    return end_ulock(operation, error);
}

EXPORT(__ulock_wake, int)(u32 operation, void *address, u64 value)
{
    int before = errno;
    long woken = call_futex(address, FUTEX_WAKE, operation & ULF_WAKE_ALL ? INT_MAX : 1, NULL);
    errno = before;
    return woken > 0 ? 0 : end_ulock(operation, ENOENT);
}

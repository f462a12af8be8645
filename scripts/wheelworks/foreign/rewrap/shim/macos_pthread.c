/* Threads, locks and conditions. Apple's are larger than glibc's, so that glibc's state fits into them; and a static
   initializer leaves a signature in the first word and zeros in the rest, which glibc takes for an unused lock.

   Functions return Apple's error numbers, since pthread functions don't use errno.
   Sources: Apple's <pthread.h>, <sys/_pthread/_pthread_types.h> and <pthread/pthread_impl.h>. */

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "macos.h"

#define RETURN_ERROR(call) return to_apple_error(call)

enum {
#define ROW(name, number) name = number,
    APPLE_SIGNATURES(ROW)
#undef ROW
    MUTEX_IN_USE = 0x4D555458, /* a mutex or lock whose state is ready */
};

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((AppleMutex *)0)->state), "a mutex fits");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(AppleCondition), "a condition fits");
_Static_assert(sizeof(pthread_rwlock_t) <= sizeof(((AppleRwlock *)0)->state), "a lock fits");
_Static_assert(sizeof(pthread_once_t) <= sizeof(((AppleOnce *)0)->state), "a once flag fits");
_Static_assert(sizeof(pthread_attr_t) <= sizeof(AppleThreadAttribute), "attributes of a thread fit");
_Static_assert(sizeof(pthread_mutexattr_t) <= sizeof(((AppleAttribute *)0)->state), "attributes of a mutex fit");

/* ---- mutexes ---- */

static int
to_linux_mutex_type(int type)
{
    return type == APTHREAD_MUTEX_RECURSIVE    ? PTHREAD_MUTEX_RECURSIVE
           : type == APTHREAD_MUTEX_ERRORCHECK ? PTHREAD_MUTEX_ERRORCHECK
                                               : PTHREAD_MUTEX_NORMAL;
}

static void
start_mutex(pthread_mutex_t *mutex, int type)
{
    pthread_mutexattr_t attribute;
    pthread_mutexattr_init(&attribute);
    pthread_mutexattr_settype(&attribute, type);
    pthread_mutex_init(mutex, &attribute);
    pthread_mutexattr_destroy(&attribute);
}

/* Return glibc's mutex in Apple's; one with a static initializer of another type is started at its first use. */
static pthread_mutex_t *
open_mutex(AppleMutex *mutex)
{
    static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_t *found = (pthread_mutex_t *)mutex->state;
    int64_t signature = __atomic_load_n(&mutex->signature, __ATOMIC_ACQUIRE);
    if (signature == _PTHREAD_RECURSIVE_MUTEX_SIG_init || signature == _PTHREAD_ERRORCHECK_MUTEX_SIG_init) {
        pthread_mutex_lock(&starting);
        if (mutex->signature == signature) {
            start_mutex(found, signature == _PTHREAD_RECURSIVE_MUTEX_SIG_init ? PTHREAD_MUTEX_RECURSIVE
                                                                             : PTHREAD_MUTEX_ERRORCHECK);
            __atomic_store_n(&mutex->signature, MUTEX_IN_USE, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&starting);
    }
    return found;
}

EXPORT(pthread_mutexattr_init, int)(AppleAttribute *attribute)
{
    attribute->signature = MUTEX_IN_USE;
    RETURN_ERROR(pthread_mutexattr_init((pthread_mutexattr_t *)attribute->state));
}

EXPORT(pthread_mutexattr_destroy, int)(AppleAttribute *attribute)
{
    RETURN_ERROR(pthread_mutexattr_destroy((pthread_mutexattr_t *)attribute->state));
}

EXPORT(pthread_mutexattr_settype, int)(AppleAttribute *attribute, int type)
{
    if (type < APTHREAD_MUTEX_NORMAL || type > APTHREAD_MUTEX_RECURSIVE) {
        return EINVAL;
    }
    RETURN_ERROR(pthread_mutexattr_settype((pthread_mutexattr_t *)attribute->state, to_linux_mutex_type(type)));
}

EXPORT(pthread_mutexattr_setpshared, int)(AppleAttribute *attribute, int shared)
{
    int kind = shared == APTHREAD_PROCESS_SHARED ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE;
    RETURN_ERROR(pthread_mutexattr_setpshared((pthread_mutexattr_t *)attribute->state, kind));
}

EXPORT(pthread_mutex_init, int)(AppleMutex *mutex, AppleAttribute *attribute)
{
    const pthread_mutexattr_t *given = attribute == NULL ? NULL : (pthread_mutexattr_t *)attribute->state;
    mutex->signature = MUTEX_IN_USE;
    RETURN_ERROR(pthread_mutex_init((pthread_mutex_t *)mutex->state, given));
}

EXPORT(pthread_mutex_destroy, int)(AppleMutex *mutex) { RETURN_ERROR(pthread_mutex_destroy(open_mutex(mutex))); }

EXPORT(pthread_mutex_lock, int)(AppleMutex *mutex) { RETURN_ERROR(pthread_mutex_lock(open_mutex(mutex))); }

EXPORT(pthread_mutex_trylock, int)(AppleMutex *mutex) { RETURN_ERROR(pthread_mutex_trylock(open_mutex(mutex))); }

EXPORT(pthread_mutex_unlock, int)(AppleMutex *mutex) { RETURN_ERROR(pthread_mutex_unlock(open_mutex(mutex))); }

/* ---- conditions ---- */

/* Glibc's condition needs the first word too, where it counts waits. Apple's signature there, with zeros in all the rest,
   is a new condition, or one without waiters that was waited for 500 million times: a zero is right for both. */
static pthread_cond_t *
open_condition(AppleCondition *condition)
{
    static const char unused[sizeof(condition->state)];
    int64_t signature = _PTHREAD_COND_SIG_init;
    if (__atomic_load_n(&condition->signature, __ATOMIC_ACQUIRE) == signature &&
        memcmp(condition->state, unused, sizeof(unused)) == 0) {
        __atomic_compare_exchange_n(&condition->signature, &signature, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return (pthread_cond_t *)condition;
}

/* Attributes of conditions say only whether processes share one. */
EXPORT(pthread_cond_init, int)(AppleCondition *condition, const void *attribute)
{
    if (attribute != NULL) {
        fail_shim("pthread_cond_init() with attributes");
    }
    RETURN_ERROR(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

EXPORT(pthread_cond_destroy, int)(AppleCondition *condition)
{
    RETURN_ERROR(pthread_cond_destroy(open_condition(condition)));
}

EXPORT(pthread_cond_signal, int)(AppleCondition *condition)
{
    RETURN_ERROR(pthread_cond_signal(open_condition(condition)));
}

EXPORT(pthread_cond_broadcast, int)(AppleCondition *condition)
{
    RETURN_ERROR(pthread_cond_broadcast(open_condition(condition)));
}

EXPORT(pthread_cond_wait, int)(AppleCondition *condition, AppleMutex *mutex)
{
    RETURN_ERROR(pthread_cond_wait(open_condition(condition), open_mutex(mutex)));
}

EXPORT(pthread_cond_timedwait, int)(AppleCondition *condition, AppleMutex *mutex, const struct timespec *until)
{
    RETURN_ERROR(pthread_cond_timedwait(open_condition(condition), open_mutex(mutex), until));
}

EXPORT(pthread_cond_timedwait_relative_np, int)
(AppleCondition *condition, AppleMutex *mutex, const struct timespec *duration)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += duration->tv_nsec;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (__builtin_add_overflow(until.tv_sec, duration->tv_sec, &until.tv_sec)) {
        until.tv_sec = LONG_MAX;
    }
    RETURN_ERROR(pthread_cond_timedwait(open_condition(condition), open_mutex(mutex), &until));
}

/* ---- readers' and writers' locks, and functions that run once: zeros are what glibc's initializers are ---- */

#define RWLOCK(lock) ((pthread_rwlock_t *)(lock)->state)

EXPORT(pthread_rwlock_init, int)(AppleRwlock *lock, const void *attribute)
{
    if (attribute != NULL) {
        fail_shim("pthread_rwlock_init() with attributes");
    }
    lock->signature = MUTEX_IN_USE;
    RETURN_ERROR(pthread_rwlock_init(RWLOCK(lock), NULL));
}

EXPORT(pthread_rwlock_destroy, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_destroy(RWLOCK(lock))); }

EXPORT(pthread_rwlock_rdlock, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_rdlock(RWLOCK(lock))); }

EXPORT(pthread_rwlock_tryrdlock, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_tryrdlock(RWLOCK(lock))); }

EXPORT(pthread_rwlock_wrlock, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_wrlock(RWLOCK(lock))); }

EXPORT(pthread_rwlock_trywrlock, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_trywrlock(RWLOCK(lock))); }

EXPORT(pthread_rwlock_unlock, int)(AppleRwlock *lock) { RETURN_ERROR(pthread_rwlock_unlock(RWLOCK(lock))); }

EXPORT(pthread_once, int)(AppleOnce *once, void (*function)(void))
{
    RETURN_ERROR(pthread_once((pthread_once_t *)once->state, function));
}

/* ---- keys: Apple's have 64 bits ---- */

EXPORT(pthread_key_create, int)(u64 *key, void (*destroy)(void *))
{
    pthread_key_t made;
    int error = pthread_key_create(&made, destroy);
    if (error == 0) {
        *key = made;
    }
    RETURN_ERROR(error);
}

/* ---- threads ---- */

#define THREAD_ATTRIBUTE(attribute) ((pthread_attr_t *)(attribute))

EXPORT(pthread_attr_setdetachstate, int)(AppleThreadAttribute *attribute, int state)
{
    int kind = state == APTHREAD_CREATE_DETACHED ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE;
    RETURN_ERROR(pthread_attr_setdetachstate(THREAD_ATTRIBUTE(attribute), kind));
}

EXPORT(pthread_attr_getdetachstate, int)(AppleThreadAttribute *attribute, int *state)
{
    int kind;
    int error = pthread_attr_getdetachstate(THREAD_ATTRIBUTE(attribute), &kind);
    *state = kind == PTHREAD_CREATE_DETACHED ? APTHREAD_CREATE_DETACHED : APTHREAD_CREATE_JOINABLE;
    RETURN_ERROR(error);
}

EXPORT(pthread_create, int)(pthread_t *thread, AppleThreadAttribute *attribute, void *(*function)(void *), void *given)
{
    RETURN_ERROR(pthread_create(thread, THREAD_ATTRIBUTE(attribute), function, given));
}

EXPORT(pthread_join, int)(pthread_t thread, void **result) { RETURN_ERROR(pthread_join(thread, result)); }

EXPORT(pthread_detach, int)(pthread_t thread) { RETURN_ERROR(pthread_detach(thread)); }

EXPORT(pthread_setname_np, int)(const char *name)
{
    char kept[16]; /* with the zero at its end, as long as a name may be on Linux */
    strncpy(kept, name, sizeof(kept) - 1);
    kept[sizeof(kept) - 1] = 0;
    RETURN_ERROR(pthread_setname_np(pthread_self(), kept));
}

/* The numbers that identify a thread for its debuggers, and as a port of the kernel, are both Linux's number. */
EXPORT(pthread_threadid_np, int)(pthread_t thread, u64 *number)
{
    if (thread != 0 && !pthread_equal(thread, pthread_self())) {
        fail_shim("pthread_threadid_np() of another thread");
    }
    *number = syscall(SYS_gettid);
    return 0;
}

EXPORT(pthread_mach_thread_np, u32)(pthread_t thread)
{
    if (!pthread_equal(thread, pthread_self())) {
        fail_shim("pthread_mach_thread_np() of another thread");
    }
    return syscall(SYS_gettid);
}

EXPORT(pthread_main_np, int)(void) { return syscall(SYS_gettid) == getpid(); }

static void
find_stack(pthread_t thread, char **lowest, size_t *size)
{
    pthread_attr_t attribute;
    if (pthread_getattr_np(thread, &attribute) != 0) {
        fail_shim("the stack of a thread isn't known");
    }
    pthread_attr_getstack(&attribute, (void **)lowest, size);
    pthread_attr_destroy(&attribute);
}

EXPORT(pthread_get_stackaddr_np, void *)(pthread_t thread) /* the end with the highest address */
{
    char *lowest;
    size_t size;
    find_stack(thread, &lowest, &size);
    return lowest + size;
}

EXPORT(pthread_get_stacksize_np, size_t)(pthread_t thread)
{
    char *lowest;
    size_t size;
    find_stack(thread, &lowest, &size);
    return size;
}

EXPORT(pthread_atfork, int)(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    RETURN_ERROR(pthread_atfork(prepare, parent, child));
}

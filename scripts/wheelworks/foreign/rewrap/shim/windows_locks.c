/* Locks in a module's own memory, where zeros are a free lock, and waiting for a value in memory: on Linux's futex.
   Source: https://learn.microsoft.com/windows/win32/api/synchapi; futex(2). */

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "windows.h"

int
wait_until(u32 *word, u32 value, u32 milliseconds)
{
    struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    long result =
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, milliseconds == INFINITE ? NULL : &limit, NULL, 0);
    return !(result < 0 && errno == ETIMEDOUT);
}

void
wake(u32 *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static u32
load(const u32 *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static BOOL
replace(u32 *word, u32 before, u32 after)
{
    return __atomic_compare_exchange_n(word, &before, after, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* ---- slim reader/writer locks: 8 bytes ---- */

#define EXCLUSIVE 0xFFFFFFFFu
typedef struct {
    u32 state;   /* 0 free, EXCLUSIVE, or the number of readers */
    u32 waiting; /* threads that wait for a change of state */
} SrwLock;

/* Wait until the state isn't `seen` any more; errno stays, since C code doesn't expect locks to change it. */
static void
await_state(SrwLock *lock, u32 seen)
{
    int error = errno;
    __atomic_add_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST);
    wait_until(&lock->state, seen, INFINITE);
    __atomic_sub_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST);
    errno = error;
}

static void
wake_waiting(SrwLock *lock)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (load(&lock->waiting) > 0) {
        int error = errno;
        wake(&lock->state, INT_MAX);
        errno = error;
    }
}

EXPORT(InitializeSRWLock, void)(SrwLock *lock) { *lock = (SrwLock){0, 0}; }
EXPORT(TryAcquireSRWLockExclusive, u8)(SrwLock *lock) { return (u8)replace(&lock->state, 0, EXCLUSIVE); }

EXPORT(TryAcquireSRWLockShared, u8)(SrwLock *lock)
{
    u32 seen = load(&lock->state);
    while (seen != EXCLUSIVE) {
        if (replace(&lock->state, seen, seen + 1)) {
            return 1;
        }
        seen = load(&lock->state);
    }
    return 0;
}

EXPORT(AcquireSRWLockExclusive, void)(SrwLock *lock)
{
    while (!replace(&lock->state, 0, EXCLUSIVE)) {
        u32 seen = load(&lock->state);
        if (seen != 0) {
            await_state(lock, seen);
        }
    }
}

EXPORT(AcquireSRWLockShared, void)(SrwLock *lock)
{
    while (!w_TryAcquireSRWLockShared(lock)) {
        await_state(lock, EXCLUSIVE);
    }
}

EXPORT(ReleaseSRWLockExclusive, void)(SrwLock *lock)
{
    __atomic_store_n(&lock->state, 0, __ATOMIC_SEQ_CST);
    wake_waiting(lock);
}

EXPORT(ReleaseSRWLockShared, void)(SrwLock *lock)
{
    __atomic_sub_fetch(&lock->state, 1, __ATOMIC_SEQ_CST);
    wake_waiting(lock); /* a writer may wait for any number of readers to change */
}

/* ---- critical sections: 40 bytes; the thread that owns one may enter it again ---- */

typedef struct { /* RTL_CRITICAL_SECTION: the lock lies where its debug pointer does */
    SrwLock lock;
    int lock_count, recursion;
    u64 owner, semaphore, spin;
} CriticalSection;
_Static_assert(sizeof(CriticalSection) == 40, "the layout of winnt.h");

EXPORT(InitializeCriticalSection, void)(CriticalSection *section) { *section = (CriticalSection){.lock_count = -1}; }
EXPORT(InitializeCriticalSectionEx, BOOL)(CriticalSection *section, u32 spin, u32 flags)
{
    w_InitializeCriticalSection(section);
    return 1;
}
EXPORT(InitializeCriticalSectionAndSpinCount, BOOL)(CriticalSection *section, u32 spin)
{
    w_InitializeCriticalSection(section);
    return 1;
}
EXPORT(DeleteCriticalSection, void)(CriticalSection *section) { w_InitializeCriticalSection(section); }

static BOOL
enter_again(CriticalSection *section)
{
    BOOL owned = __atomic_load_n(&section->owner, __ATOMIC_RELAXED) == current_thread_id();
    section->recursion += owned;
    return owned;
}

static void
own(CriticalSection *section)
{
    __atomic_store_n(&section->owner, current_thread_id(), __ATOMIC_RELAXED);
    section->recursion = 1;
}

EXPORT(EnterCriticalSection, void)(CriticalSection *section)
{
    if (!enter_again(section)) {
        w_AcquireSRWLockExclusive(&section->lock);
        own(section);
    }
}

EXPORT(TryEnterCriticalSection, BOOL)(CriticalSection *section)
{
    if (enter_again(section)) {
        return 1;
    }
    if (!w_TryAcquireSRWLockExclusive(&section->lock)) {
        return 0;
    }
    own(section);
    return 1;
}

EXPORT(LeaveCriticalSection, void)(CriticalSection *section)
{
    if (--section->recursion == 0) {
        __atomic_store_n(&section->owner, 0, __ATOMIC_RELAXED);
        w_ReleaseSRWLockExclusive(&section->lock);
    }
}

/* ---- condition variables: 8 bytes; the first four count the calls that wake ---- */

EXPORT(InitializeConditionVariable, void)(u32 *condition) { condition[0] = condition[1] = 0; }

EXPORT(WakeConditionVariable, void)(u32 *condition)
{
    __atomic_add_fetch(condition, 1, __ATOMIC_SEQ_CST);
    wake(condition, 1);
}

EXPORT(WakeAllConditionVariable, void)(u32 *condition)
{
    __atomic_add_fetch(condition, 1, __ATOMIC_SEQ_CST);
    wake(condition, INT_MAX);
}

EXPORT(SleepConditionVariableCS, BOOL)(u32 *condition, CriticalSection *section, u32 milliseconds)
{
    u32 seen = load(condition);
    w_LeaveCriticalSection(section);
    int woken = wait_until(condition, seen, milliseconds);
    w_EnterCriticalSection(section);
    return woken ? 1 : fail(ERROR_TIMEOUT);
}

enum { LOCKMODE_SHARED = 1 };
EXPORT(SleepConditionVariableSRW, BOOL)(u32 *condition, SrwLock *lock, u32 milliseconds, u32 flags)
{
    u32 seen = load(condition);
    (flags & LOCKMODE_SHARED ? w_ReleaseSRWLockShared : w_ReleaseSRWLockExclusive)(lock);
    int woken = wait_until(condition, seen, milliseconds);
    (flags & LOCKMODE_SHARED ? w_AcquireSRWLockShared : w_AcquireSRWLockExclusive)(lock);
    return woken ? 1 : fail(ERROR_TIMEOUT);
}

/* ---- waiting for a value of 1, 2, 4 or 8 bytes: each address has one of 64 counters of calls that wake ---- */

static u32 counters[64];

static u32 *
counter_of(const void *address)
{
    return &counters[((uintptr_t)address >> 2 ^ (uintptr_t)address >> 12) % 64];
}

/* It may return early, as Windows' does: callers look at the value again. */
EXPORT(WaitOnAddress, BOOL)(const void *address, const void *undesired, size_t size, u32 milliseconds)
{
    u32 *counter = counter_of(address), seen = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
    if (memcmp(address, undesired, size) != 0) {
        return 1;
    }
    return wait_until(counter, seen, milliseconds) ? 1 : fail(ERROR_TIMEOUT);
}

EXPORT(WakeByAddressAll, void)(const void *address)
{
    u32 *counter = counter_of(address);
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    wake(counter, INT_MAX);
}

EXPORT(WakeByAddressSingle, void)(const void *address) { w_WakeByAddressAll(address); }

/* ---- one-time initialization: a pointer whose lower two bits are 0 before, 1 during, and 2 after it ---- */

enum { RUNNING = 1, DONE = 2, CHECK_ONLY = 1, ASYNC = 2, INIT_FAILED = 4 };
static u32 once_changes;

static void
set_once(u64 *once, u64 value)
{
    __atomic_store_n(once, value, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&once_changes, 1, __ATOMIC_SEQ_CST);
    wake(&once_changes, INT_MAX);
}

EXPORT(InitOnceInitialize, void)(u64 *once) { *once = 0; }

EXPORT(InitOnceBeginInitialize, BOOL)(u64 *once, u32 flags, BOOL *pending, void **context)
{
    if (flags & ASYNC) {
        fail_shim("asynchronous one-time initialization");
    }
    for (;;) {
        u32 seen = load(&once_changes);
        u64 value = __atomic_load_n(once, __ATOMIC_SEQ_CST), free_value = 0;
        if ((value & 3) == DONE) {
            *pending = 0;
            if (context != NULL) {
                *context = (void *)(value & ~3ULL);
            }
            return 1;
        }
        if (flags & CHECK_ONLY) {
            *pending = 1;
            return fail(ERROR_GEN_FAILURE);
        }
        if (value == 0 &&
            __atomic_compare_exchange_n(once, &free_value, RUNNING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            *pending = 1;
            return 1;
        }
        if (value == RUNNING) {
            wait_until(&once_changes, seen, INFINITE);
        }
    }
}

EXPORT(InitOnceComplete, BOOL)(u64 *once, u32 flags, void *context)
{
    set_once(once, flags & INIT_FAILED ? 0 : (u64)context | DONE);
    return 1;
}

EXPORT(InitOnceExecuteOnce, BOOL)(u64 *once, BOOL (*function)(u64 *, void *, void **), void *parameter, void **context)
{
    BOOL pending;
    void *made = NULL;
    w_InitOnceBeginInitialize(once, 0, &pending, context);
    if (!pending) {
        return 1;
    }
    BOOL ready = function(once, parameter, &made);
    set_once(once, ready ? (u64)made | DONE : 0);
    if (context != NULL) {
        *context = made;
    }
    return ready;
}

/* ---- lists that threads share: a header of 16 bytes, and entries that begin with a pointer ---- */

typedef struct entry {
    struct entry *next;
} ListEntry;

typedef struct {
    ListEntry *first;
    u64 depth;
} ListHead;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

EXPORT(InitializeSListHead, void)(ListHead *list) { *list = (ListHead){NULL, 0}; }

EXPORT(InterlockedPushEntrySList, ListEntry *)(ListHead *list, ListEntry *entry)
{
    pthread_mutex_lock(&list_lock);
    ListEntry *before = entry->next = list->first;
    list->first = entry;
    list->depth++;
    pthread_mutex_unlock(&list_lock);
    return before;
}

EXPORT(InterlockedPopEntrySList, ListEntry *)(ListHead *list)
{
    pthread_mutex_lock(&list_lock);
    ListEntry *entry = list->first;
    if (entry != NULL) {
        list->first = entry->next;
        list->depth--;
    }
    pthread_mutex_unlock(&list_lock);
    return entry;
}

EXPORT(InterlockedFlushSList, ListEntry *)(ListHead *list)
{
    pthread_mutex_lock(&list_lock);
    ListEntry *entry = list->first;
    *list = (ListHead){NULL, 0};
    pthread_mutex_unlock(&list_lock);
    return entry;
}

EXPORT(QueryDepthSList, u16)(const ListHead *list) { return (u16)list->depth; }

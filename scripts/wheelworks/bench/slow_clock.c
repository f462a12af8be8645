/* A clock_gettime() whose monotonic clock runs SLOWDOWN times slower, for LD_PRELOAD under valgrind.
   Python's time.monotonic(), time.perf_counter() and its C libraries read that clock. The call costs a few instructions
   more than the C library's.

   Threads that wait for Python's lock until a time of the slow clock wait until that of the kernel's: otherwise the time
   would be over at once, and they would count instructions in a loop. time.sleep() isn't slowed down: it ends at once. */

#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

static struct timespec
multiply(struct timespec time, long long factor, long long divisor)
{
    long long total = ((long long)time.tv_sec * NANOSECONDS + time.tv_nsec) * factor / divisor;
    return (struct timespec){ .tv_sec = total / NANOSECONDS, .tv_nsec = total % NANOSECONDS };
}

int
clock_gettime(clockid_t clock, struct timespec *time)
{
    int status = (int)syscall(SYS_clock_gettime, clock, time);
    if (status == 0 && clock == CLOCK_MONOTONIC) {
        *time = multiply(*time, 1, SLOWDOWN);
    }
    return status;
}

int
pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end)
{
    static int (*original)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (original == NULL) {
        *(void **)&original = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    }
    /* The condition's clock can't be asked for. A time that is earlier than 2001 isn't one of the calendar's. */
    struct timespec real = end->tv_sec < NANOSECONDS ? multiply(*end, SLOWDOWN, 1) : *end;
    return original(condition, mutex, &real);
}

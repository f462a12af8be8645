/* A clock_gettime() whose monotonic clock runs SLOWDOWN times slower, for LD_PRELOAD under valgrind.
   Python's time.monotonic(), time.perf_counter() and its C libraries read that clock. The call costs a few instructions
   more than the C library's. Absolute deadlines that the kernel compares with its own clock, as those of time.sleep(),
   are over at once: the measured servers have none. */

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

int
clock_gettime(clockid_t clock, struct timespec *time)
{
    int status = (int)syscall(SYS_clock_gettime, clock, time);
    if (status == 0 && clock == CLOCK_MONOTONIC) {
        long long slow = ((long long)time->tv_sec * NANOSECONDS + time->tv_nsec) / SLOWDOWN;
        time->tv_sec = slow / NANOSECONDS;
        time->tv_nsec = slow % NANOSECONDS;
    }
    return status;
}

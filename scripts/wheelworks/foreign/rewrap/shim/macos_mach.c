/* Time, and facts about the machine and the process: Mach's clock, sysctl, sysconf, limits.

   Sources: Apple's <mach/mach_time.h>, <time.h>, <sys/sysctl.h>, <unistd.h>, <sys/resource.h>, <crt_externs.h>,
   <mach-o/dyld.h>; sysctlbyname(3). */

#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "macos.h"

/* ---- clocks ---- */

static int
to_linux_clock(u32 clock)
{
    switch (clock) {
#define ROW(name, number)                                                                                              \
    case number:                                                                                                       \
        return name;
        APPLE_CLOCKS(ROW)
#undef ROW
#define ROW(name, number) case number:
        APPLE_ONLY_CLOCKS(ROW)
#undef ROW
        return CLOCK_MONOTONIC;
    default:
        return -1; /* of no clock: EINVAL */
    }
}

EXPORT(clock_gettime, int)(u32 clock, struct timespec *time) { return clock_gettime(to_linux_clock(clock), time); }

EXPORT(clock_getres, int)(u32 clock, struct timespec *time) { return clock_getres(to_linux_clock(clock), time); }

u64
read_nanoseconds(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) {
        return 0;
    }
    return (u64)time.tv_sec * 1000000000 + time.tv_nsec;
}

EXPORT(clock_gettime_nsec_np, u64)(u32 clock) { return read_nanoseconds(to_linux_clock(clock)); }

/* Mach's time is in nanoseconds here, as mach_timebase_info() says. */
EXPORT(mach_absolute_time, u64)(void) { return read_nanoseconds(CLOCK_MONOTONIC); }

EXPORT(mach_continuous_time, u64)(void) { return read_nanoseconds(CLOCK_BOOTTIME); }

EXPORT(mach_approximate_time, u64)(void) { return read_nanoseconds(CLOCK_MONOTONIC); }

typedef struct {
    u32 numerator, denominator;
} Timebase;

EXPORT(mach_timebase_info, int)(Timebase *base)
{
    *base = (Timebase){1, 1};
    return 0;
}

/* clock() counts millionths of a second on both systems; gettimeofday()'s microseconds have 32 bits and a padding. */
EXPORT(gettimeofday, int)(struct timeval *time, void *zone) { return gettimeofday(time, zone); }

/* The name of this process among Mach's tasks, which semaphore_create() takes. */
EXPORT(mach_task_self_, u32) = 0x103;

/* ---- the machine ---- */

EXPORT(sysconf, long)(int name)
{
    switch (name) {
#define ROW(name, number)                                                                                              \
    case number:                                                                                                       \
        return sysconf(name);
        APPLE_SYSCONF(ROW)
#undef ROW
    default:
        errno = EINVAL;
        return -1;
    }
}

static int
find_number(const char *name, u64 *number)
{
    if (strcmp(name, "hw.ncpu") == 0 || strcmp(name, "hw.logicalcpu") == 0 || strcmp(name, "hw.physicalcpu") == 0 ||
        strcmp(name, "hw.activecpu") == 0 || strcmp(name, "hw.logicalcpu_max") == 0 ||
        strcmp(name, "hw.physicalcpu_max") == 0) {
        *number = sysconf(_SC_NPROCESSORS_ONLN);
        return 4;
    }
    if (strcmp(name, "hw.memsize") == 0) {
        *number = (u64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
        return 8;
    }
    if (strcmp(name, "hw.pagesize") == 0) {
        *number = sysconf(_SC_PAGESIZE);
        return 8;
    }
    return 0;
}

static int
copy_number(u64 number, int size, void *old, size_t *old_size)
{
    if (old != NULL && *old_size < (size_t)size) {
        errno = ENOMEM;
        return -1;
    }
    if (old != NULL) {
        memcpy(old, &number, size); /* little-endian: the lower half comes first */
    }
    if (old_size != NULL) {
        *old_size = size;
    }
    return 0;
}

/* Other names, such as those of features of Apple's CPUs, don't exist: ENOENT, as on a Mac without them. */
EXPORT(sysctlbyname, int)(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
{
    u64 number;
    int size = find_number(name, &number);
    if (size == 0 || new != NULL) {
        errno = size == 0 ? ENOENT : EPERM;
        return -1;
    }
    return copy_number(number, size, old, old_size);
}

/* The same by numbers. */
EXPORT(sysctl, int)(const int *name, u32 count, void *old, size_t *old_size, void *new, size_t new_size)
{
    static const struct {
        int number;
        const char *name;
    } known[] = {{3, "hw.ncpu"}, {25, "hw.activecpu"}, {24, "hw.memsize"}, {7, "hw.pagesize"}}; /* HW_NCPU, ... */
    for (size_t i = 0; count == 2 && name[0] == 6 /* CTL_HW */ && i < sizeof(known) / sizeof(known[0]); i++) {
        if (name[1] == known[i].number) {
            return m_sysctlbyname(known[i].name, old, old_size, new, new_size);
        }
    }
    end_unsupported(STATUS_SHIM_FAILED, "sysctl() of the number %d.%d", name[0], count > 1 ? name[1] : 0);
}

/* ---- limits and use of resources ---- */

#define APPLE_RLIM_INFINITY (UINT64_MAX >> 1)

static int
to_linux_limit(int limit)
{
    switch (limit) {
#define ROW(name, number)                                                                                              \
    case number:                                                                                                       \
        return name;
        APPLE_LIMITS(ROW)
#undef ROW
    default:
        return -1;
    }
}

EXPORT(getrlimit, int)(int limit, struct rlimit *found)
{
    int result = getrlimit(to_linux_limit(limit), found);
    if (result == 0) {
        found->rlim_cur = found->rlim_cur > APPLE_RLIM_INFINITY ? APPLE_RLIM_INFINITY : found->rlim_cur;
        found->rlim_max = found->rlim_max > APPLE_RLIM_INFINITY ? APPLE_RLIM_INFINITY : found->rlim_max;
    }
    return result;
}

EXPORT(setrlimit, int)(int limit, const struct rlimit *given)
{
    struct rlimit wanted = *given;
    wanted.rlim_cur = wanted.rlim_cur >= APPLE_RLIM_INFINITY ? RLIM_INFINITY : wanted.rlim_cur;
    wanted.rlim_max = wanted.rlim_max >= APPLE_RLIM_INFINITY ? RLIM_INFINITY : wanted.rlim_max;
    return setrlimit(to_linux_limit(limit), &wanted);
}

EXPORT(getrusage, int)(int who, struct rusage *found)
{
    int result = getrusage(who, found);
    found->ru_maxrss *= 1024; /* Linux counts KiB, Apple bytes */
    return result;
}

/* ---- the process ---- */

extern char **environ;

EXPORT(_NSGetEnviron, char ***)(void) { return &environ; }

EXPORT(_NSGetExecutablePath, int)(char *buffer, u32 *size)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length < 0 || (u32)length >= *size) {
        *size = length + 1;
        return -1;
    }
    memcpy(buffer, path, length);
    buffer[length] = 0;
    *size = length + 1;
    return 0;
}

/* dyld has loaded nothing: a backtrace gets no names. */
EXPORT(_dyld_image_count, u32)(void) { return 0; }

EXPORT(_dyld_get_image_header, const void *)(u32 index) { return NULL; }

EXPORT(_dyld_get_image_name, const char *)(u32 index) { return NULL; }

EXPORT(_dyld_get_image_vmaddr_slide, intptr_t)(u32 index) { return 0; }

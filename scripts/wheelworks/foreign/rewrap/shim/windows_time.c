/* Time: Microsoft's C library (struct tm has 9 numbers, Linux's two fields more) and Windows' own clocks.
   Source: time.h; https://learn.microsoft.com/windows/win32/sysinfo/time-functions. A FILETIME is 100 ns, from 1601. */

#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "windows.h"

enum { TICKS = 10000000 }; /* of 100 ns, in a second */
#define SECONDS_FROM_1601 11644473600LL

/* ---- the C library ---- */

typedef struct {
    int second, minute, hour, day, month, year, weekday, yearday, is_dst;
} WindowsTm;

static void
export_tm(const struct tm *from, WindowsTm *to)
{
    *to = (WindowsTm){from->tm_sec,  from->tm_min,  from->tm_hour, from->tm_mday, from->tm_mon,
                      from->tm_year, from->tm_wday, from->tm_yday, from->tm_isdst};
}

static struct tm
import_tm(const WindowsTm *from)
{
    return (struct tm){.tm_sec = from->second,
                       .tm_min = from->minute,
                       .tm_hour = from->hour,
                       .tm_mday = from->day,
                       .tm_mon = from->month,
                       .tm_year = from->year,
                       .tm_wday = from->weekday,
                       .tm_yday = from->yearday,
                       .tm_isdst = from->is_dst};
}

static int
split_time(struct tm *(*split)(const time_t *, struct tm *), WindowsTm *to, const int64_t *seconds)
{
    struct tm parts;
    if (to == NULL || seconds == NULL || *seconds < 0 || split((const time_t *)seconds, &parts) == NULL) {
        if (to != NULL) {
            memset(to, 0xFF, sizeof(*to)); /* every field is -1 */
        }
        return errno = EINVAL;
    }
    export_tm(&parts, to);
    return 0;
}

static __thread WindowsTm static_tm; /* of the functions that return a pointer */

EXPORT(_time64, int64_t)(int64_t *to)
{
    int64_t now = time(NULL);
    if (to != NULL) {
        *to = now;
    }
    return now;
}
EXPORT(_gmtime64_s, int)(WindowsTm *to, const int64_t *seconds) { return split_time(gmtime_r, to, seconds); }
EXPORT(_localtime64_s, int)(WindowsTm *to, const int64_t *seconds) { return split_time(localtime_r, to, seconds); }
EXPORT(_gmtime64, WindowsTm *)(const int64_t *seconds)
{
    return split_time(gmtime_r, &static_tm, seconds) ? NULL : &static_tm;
}
EXPORT(_localtime64, WindowsTm *)(const int64_t *seconds)
{
    return split_time(localtime_r, &static_tm, seconds) ? NULL : &static_tm;
}

EXPORT(_mktime64, int64_t)(WindowsTm *parts)
{
    struct tm copy = import_tm(parts);
    int64_t seconds = mktime(&copy);
    export_tm(&copy, parts);
    return seconds;
}

EXPORT(_mkgmtime64, int64_t)(WindowsTm *parts)
{
    struct tm copy = import_tm(parts);
    int64_t seconds = timegm(&copy);
    export_tm(&copy, parts);
    return seconds;
}

EXPORT(_difftime64, double)(int64_t end, int64_t start) { return (double)(end - start); }

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
EXPORT(strftime, size_t)(char *to, size_t size, const char *format, const WindowsTm *parts)
{
    if (strchr(format, '#')) { /* Microsoft's flag for other forms */
        fail_shim("strftime with the flag #");
    }
    struct tm copy = import_tm(parts);
    return strftime(to, size, format, &copy);
}
#pragma clang diagnostic pop

/* clock() counts milliseconds of real time from the process' start. */
static struct timespec start_time;

EXPORT(clock, int)(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)((now.tv_sec - start_time.tv_sec) * 1000 + (now.tv_nsec - start_time.tv_nsec) / 1000000);
}

__attribute__((constructor)) static void
start_clock(void)
{
    clock_gettime(CLOCK_MONOTONIC, &start_time);
}

EXPORT(_timespec64_get, int)(struct timespec *to, int base)
{
    struct timespec now;
    if (base != 1) { /* TIME_UTC */
        return 0;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    int parts[4] = {0};
    memcpy(parts, &now.tv_sec, 8);
    parts[2] = (int)now.tv_nsec; /* a `long` */
    memcpy(to, parts, sizeof(parts));
    return base;
}

EXPORT(_tzset, void)(void) { tzset(); }
EXPORT(_get_timezone, int)(int *seconds)
{
    tzset();
    *seconds = (int)timezone;
    return 0;
}
EXPORT(_get_daylight, int)(int *hours)
{
    tzset();
    *hours = daylight;
    return 0;
}
EXPORT(_get_dstbias, int)(int *seconds)
{
    tzset();
    *seconds = daylight ? -3600 : 0;
    return 0;
}

/* ---- clocks of Windows ---- */

static u64
read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (u64)now.tv_sec * TICKS + (u64)now.tv_nsec / 100;
}

u64
filetime_of(int64_t seconds, long nanoseconds)
{
    return (u64)(seconds + SECONDS_FROM_1601) * TICKS + (u64)nanoseconds / 100;
}

EXPORT(QueryPerformanceCounter, BOOL)(u64 *to)
{
    *to = read_clock(CLOCK_MONOTONIC);
    return 1;
}
EXPORT(QueryPerformanceFrequency, BOOL)(u64 *to)
{
    *to = TICKS;
    return 1;
}
EXPORT(GetTickCount64, u64)(void) { return read_clock(CLOCK_BOOTTIME) / (TICKS / 1000); }
EXPORT(GetTickCount, u32)(void) { return (u32)w_GetTickCount64(); }
EXPORT(GetSystemTimePreciseAsFileTime, void)(u64 *to)
{
    u64 time = read_clock(CLOCK_REALTIME) + SECONDS_FROM_1601 * TICKS;
    memcpy(to, &time, sizeof(time)); /* a FILETIME is aligned to 4 bytes */
}
EXPORT(GetSystemTimeAsFileTime, void)(u64 *to) { w_GetSystemTimePreciseAsFileTime(to); }
EXPORT(QueryUnbiasedInterruptTime, BOOL)(u64 *to)
{
    *to = read_clock(CLOCK_MONOTONIC);
    return 1;
}

typedef struct {
    u16 year, month, weekday, day, hour, minute, second, milliseconds;
} SystemTime;

static void
fill_system_time(SystemTime *to, const struct tm *parts, long nanoseconds)
{
    *to = (SystemTime){(u16)(parts->tm_year + 1900), (u16)(parts->tm_mon + 1),    (u16)parts->tm_wday,
                       (u16)parts->tm_mday,          (u16)parts->tm_hour,         (u16)parts->tm_min,
                       (u16)parts->tm_sec,           (u16)(nanoseconds / 1000000)};
}

static void
read_system_time(struct tm *(*split)(const time_t *, struct tm *), SystemTime *to)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    split(&now.tv_sec, &parts);
    fill_system_time(to, &parts, now.tv_nsec);
}

EXPORT(GetSystemTime, void)(SystemTime *to) { read_system_time(gmtime_r, to); }
EXPORT(GetLocalTime, void)(SystemTime *to) { read_system_time(localtime_r, to); }

EXPORT(FileTimeToSystemTime, BOOL)(const void *from, SystemTime *to)
{
    u64 ticks;
    memcpy(&ticks, from, sizeof(ticks));
    time_t seconds = (time_t)(ticks / TICKS) - SECONDS_FROM_1601;
    struct tm parts;
    if (ticks >> 63 || gmtime_r(&seconds, &parts) == NULL) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    fill_system_time(to, &parts, (long)(ticks % TICKS) * 100);
    return 1;
}

EXPORT(SystemTimeToFileTime, BOOL)(const SystemTime *from, void *to)
{
    struct tm parts = {.tm_sec = from->second,
                       .tm_min = from->minute,
                       .tm_hour = from->hour,
                       .tm_mday = from->day,
                       .tm_mon = from->month - 1,
                       .tm_year = from->year - 1900};
    if (from->year < 1601 || from->month < 1 || from->month > 12 || from->day < 1 || from->day > 31) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    u64 ticks = filetime_of(timegm(&parts), from->milliseconds * 1000000L);
    memcpy(to, &ticks, sizeof(ticks));
    return 1;
}

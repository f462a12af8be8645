/* Numbers and layouts of Apple's headers, where they differ from Linux's. No header of either system is included here,
   so that a test compiles this file against Apple's headers too and checks every line of it. Sources: <sys/errno.h>,
   <sys/fcntl.h>, <sys/mman.h>, <sys/stat.h>, <sys/dirent.h>, <pthread/pthread_impl.h>, <unistd.h>, <time.h>,
   <sys/resource.h>, <sys/statvfs.h>, <locale.h>, <langinfo.h>, <sys/signal.h>, <runetype.h>, <_ctype.h>. */

#ifndef WHEELWORKS_MACOS_ABI_H
#define WHEELWORKS_MACOS_ABI_H

#include <stddef.h>
#include <stdint.h>

/* Error numbers; those from 1 to 34 are the same except 11. ENOTSUP comes before EOPNOTSUPP, which is the same number
   on Linux, so that a number of Linux becomes ENOTSUP. */
#define APPLE_ERRORS(X)                                                                                                \
    X(EDEADLK, 11) X(EAGAIN, 35) X(EINPROGRESS, 36) X(EALREADY, 37) X(ENOTSOCK, 38) X(EDESTADDRREQ, 39)                \
    X(EMSGSIZE, 40) X(EPROTOTYPE, 41) X(ENOPROTOOPT, 42) X(EPROTONOSUPPORT, 43) X(ESOCKTNOSUPPORT, 44)                 \
    X(ENOTSUP, 45) X(EPFNOSUPPORT, 46) X(EAFNOSUPPORT, 47) X(EADDRINUSE, 48) X(EADDRNOTAVAIL, 49)                      \
    X(ENETDOWN, 50) X(ENETUNREACH, 51) X(ENETRESET, 52) X(ECONNABORTED, 53) X(ECONNRESET, 54) X(ENOBUFS, 55)           \
    X(EISCONN, 56) X(ENOTCONN, 57) X(ESHUTDOWN, 58) X(ETOOMANYREFS, 59) X(ETIMEDOUT, 60) X(ECONNREFUSED, 61)           \
    X(ELOOP, 62) X(ENAMETOOLONG, 63) X(EHOSTDOWN, 64) X(EHOSTUNREACH, 65) X(ENOTEMPTY, 66) X(EUSERS, 68)               \
    X(EDQUOT, 69) X(ESTALE, 70) X(EREMOTE, 71) X(ENOLCK, 77) X(ENOSYS, 78) X(EOVERFLOW, 84) X(ECANCELED, 89)           \
    X(EIDRM, 90) X(ENOMSG, 91) X(EILSEQ, 92) X(EBADMSG, 94) X(EMULTIHOP, 95) X(ENODATA, 96) X(ENOLINK, 97)             \
    X(ENOSR, 98) X(ENOSTR, 99) X(EPROTO, 100) X(ETIME, 101) X(EOPNOTSUPP, 102) X(ENOTRECOVERABLE, 104)                 \
    X(EOWNERDEAD, 105)

/* Flags of open() that have a twin on Linux; the access mode, in the lowest two bits, is the same. */
#define APPLE_OPEN_FLAGS(X)                                                                                            \
    X(O_NONBLOCK, 0x4) X(O_APPEND, 0x8) X(O_ASYNC, 0x40) X(O_SYNC, 0x80) X(O_NOFOLLOW, 0x100) X(O_CREAT, 0x200)        \
    X(O_TRUNC, 0x400) X(O_EXCL, 0x800) X(O_NOCTTY, 0x20000) X(O_DIRECTORY, 0x100000) X(O_DSYNC, 0x400000)              \
    X(O_CLOEXEC, 0x1000000)

#define APPLE_SIGNALS(X)                                                                                               \
    X(SIGBUS, 10) X(SIGSYS, 12) X(SIGURG, 16) X(SIGSTOP, 17) X(SIGTSTP, 18) X(SIGCONT, 19) X(SIGCHLD, 20)              \
    X(SIGIO, 23) X(SIGUSR1, 30) X(SIGUSR2, 31)

#define APPLE_SYSCONF(X)                                                                                               \
    X(_SC_ARG_MAX, 1) X(_SC_CHILD_MAX, 2) X(_SC_CLK_TCK, 3) X(_SC_NGROUPS_MAX, 4) X(_SC_OPEN_MAX, 5)                   \
    X(_SC_JOB_CONTROL, 6) X(_SC_SAVED_IDS, 7) X(_SC_LINE_MAX, 15) X(_SC_STREAM_MAX, 26) X(_SC_TZNAME_MAX, 27)          \
    X(_SC_PAGESIZE, 29) X(_SC_IOV_MAX, 56) X(_SC_NPROCESSORS_CONF, 57) X(_SC_NPROCESSORS_ONLN, 58)                     \
    X(_SC_GETGR_R_SIZE_MAX, 70) X(_SC_GETPW_R_SIZE_MAX, 71) X(_SC_HOST_NAME_MAX, 72) X(_SC_LOGIN_NAME_MAX, 73)         \
    X(_SC_MONOTONIC_CLOCK, 74) X(_SC_THREAD_KEYS_MAX, 86) X(_SC_THREAD_STACK_MIN, 93) X(_SC_THREADS, 96)               \
    X(_SC_TTY_NAME_MAX, 101) X(_SC_ATEXIT_MAX, 107) X(_SC_SYMLOOP_MAX, 120) X(_SC_PHYS_PAGES, 200)

#define APPLE_CLOCKS(X)                                                                                                \
    X(CLOCK_REALTIME, 0) X(CLOCK_MONOTONIC_RAW, 4) X(CLOCK_MONOTONIC, 6) X(CLOCK_PROCESS_CPUTIME_ID, 12)               \
    X(CLOCK_THREAD_CPUTIME_ID, 16)
/* Clocks that only Apple has: the time without that asleep, and coarse ones. */
#define APPLE_ONLY_CLOCKS(X)                                                                                           \
    X(CLOCK_MONOTONIC_RAW_APPROX, 5) X(CLOCK_UPTIME_RAW, 8) X(CLOCK_UPTIME_RAW_APPROX, 9)

#define APPLE_LIMITS(X)                                                                                                \
    X(RLIMIT_CPU, 0) X(RLIMIT_FSIZE, 1) X(RLIMIT_DATA, 2) X(RLIMIT_STACK, 3) X(RLIMIT_CORE, 4) X(RLIMIT_AS, 5)         \
    X(RLIMIT_MEMLOCK, 6) X(RLIMIT_NPROC, 7) X(RLIMIT_NOFILE, 8)

#define APPLE_LOCALE_CATEGORIES(X)                                                                                     \
    X(LC_ALL, 0) X(LC_COLLATE, 1) X(LC_CTYPE, 2) X(LC_MONETARY, 3) X(LC_NUMERIC, 4) X(LC_TIME, 5) X(LC_MESSAGES, 6)
#define APPLE_LOCALE_MASKS(X)                                                                                          \
    X(LC_COLLATE_MASK, 1) X(LC_CTYPE_MASK, 2) X(LC_MESSAGES_MASK, 4) X(LC_MONETARY_MASK, 8) X(LC_NUMERIC_MASK, 16)     \
    X(LC_TIME_MASK, 32)
#define APPLE_LANGINFO(X) X(CODESET, 0) X(D_T_FMT, 1) X(RADIXCHAR, 50) X(THOUSEP, 51) X(YESEXPR, 52) X(CRNCYSTR, 56)

/* Classes of characters in a _RuneLocale */
#define APPLE_CTYPES(X)                                                                                                \
    X(_CTYPE_A, 0x100, isalpha) X(_CTYPE_C, 0x200, iscntrl) X(_CTYPE_D, 0x400, isdigit) X(_CTYPE_G, 0x800, isgraph)    \
    X(_CTYPE_L, 0x1000, islower) X(_CTYPE_P, 0x2000, ispunct) X(_CTYPE_S, 0x4000, isspace)                             \
    X(_CTYPE_U, 0x8000, isupper) X(_CTYPE_X, 0x10000, isxdigit) X(_CTYPE_B, 0x20000, isblank)                          \
    X(_CTYPE_R, 0x40000, isprint)

/* The first word of what a static initializer leaves */
#define APPLE_SIGNATURES(X)                                                                                            \
    X(_PTHREAD_MUTEX_SIG_init, 0x32AAABA7) X(_PTHREAD_ERRORCHECK_MUTEX_SIG_init, 0x32AAABA1)                           \
    X(_PTHREAD_RECURSIVE_MUTEX_SIG_init, 0x32AAABA2) X(_PTHREAD_FIRSTFIT_MUTEX_SIG_init, 0x32AAABA3)                   \
    X(_PTHREAD_COND_SIG_init, 0x3CB0B1BB) X(_PTHREAD_ONCE_SIG_init, 0x30B1BCBA) X(_PTHREAD_RWLOCK_SIG_init, 0x2DA8B3B4)

/* Numbers without a list of their own: the names get an A in front here. */
#define APPLE_NUMBERS(X)                                                                                               \
    X(F_DUPFD, 0) X(F_GETFD, 1) X(F_SETFD, 2) X(F_GETFL, 3) X(F_SETFL, 4) X(F_GETLK, 7) X(F_SETLK, 8) X(F_SETLKW, 9)   \
    X(F_RDADVISE, 44) X(F_RDAHEAD, 45) X(F_NOCACHE, 48) X(F_GETPATH, 50) X(F_FULLFSYNC, 51) X(F_DUPFD_CLOEXEC, 67)     \
    X(F_BARRIERFSYNC, 85) X(F_RDLCK, 1) X(F_UNLCK, 2) X(F_WRLCK, 3) X(FIONBIO, 0x8004667E) X(FIOCLEX, 0x20006601)      \
    X(FIONREAD, 0x4004667F) X(TIOCGWINSZ, 0x40087468)                                                                  \
    X(AT_FDCWD, -2) X(AT_EACCESS, 0x10) X(AT_SYMLINK_NOFOLLOW, 0x20) X(AT_SYMLINK_FOLLOW, 0x40) X(AT_REMOVEDIR, 0x80)  \
    X(MAP_SHARED, 1) X(MAP_PRIVATE, 2) X(MAP_FIXED, 0x10) X(MAP_NORESERVE, 0x40) X(MAP_NOCACHE, 0x400)                 \
    X(MAP_JIT, 0x800) X(MAP_ANON, 0x1000) X(MADV_FREE, 5) X(MADV_FREE_REUSABLE, 7) X(MADV_FREE_REUSE, 8)               \
    X(MS_ASYNC, 1) X(MS_INVALIDATE, 2) X(MS_SYNC, 16)                                                                  \
    X(PTHREAD_MUTEX_NORMAL, 0) X(PTHREAD_MUTEX_ERRORCHECK, 1) X(PTHREAD_MUTEX_RECURSIVE, 2)                            \
    X(PTHREAD_CREATE_JOINABLE, 1) X(PTHREAD_CREATE_DETACHED, 2) X(PTHREAD_PROCESS_SHARED, 1)                           \
    X(PTHREAD_PROCESS_PRIVATE, 2) X(SIG_BLOCK, 1) X(SIG_UNBLOCK, 2) X(SIG_SETMASK, 3)                                  \
    X(RTLD_LAZY, 1) X(RTLD_NOW, 2) X(RTLD_LOCAL, 4) X(RTLD_GLOBAL, 8) X(RTLD_NOLOAD, 0x10) X(RTLD_NODELETE, 0x80)      \
    X(AF_INET6, 30)
#define APPLE_ENUM(name, number) A##name = (int)(number),
enum { APPLE_NUMBERS(APPLE_ENUM) };
#undef APPLE_ENUM

/* ---- layouts ---- */

typedef struct {
    int64_t seconds, nanoseconds;
} AppleTimespec;

typedef struct { /* struct stat, with 64-bit inode numbers */
    int32_t st_dev;
    uint16_t st_mode, st_nlink;
    uint64_t st_ino;
    uint32_t st_uid, st_gid;
    int32_t st_rdev;
    AppleTimespec st_atimespec, st_mtimespec, st_ctimespec, st_birthtimespec;
    int64_t st_size, st_blocks;
    int32_t st_blksize;
    uint32_t st_flags, st_gen;
    int32_t st_lspare;
    int64_t st_qspare[2];
} AppleStat;

typedef struct { /* struct dirent, likewise */
    uint64_t d_ino, d_seekoff;
    uint16_t d_reclen, d_namlen;
    uint8_t d_type;
    char d_name[1024];
} AppleDirent;

typedef struct { /* struct flock */
    int64_t l_start, l_len;
    int32_t l_pid;
    int16_t l_type, l_whence;
} AppleFlock;

typedef struct { /* struct statvfs */
    uint64_t f_bsize, f_frsize;
    uint32_t f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail;
    uint64_t f_fsid, f_flag, f_namemax;
} AppleStatvfs;

typedef struct { /* struct lconv */
    char *texts[10]; /* decimal_point to negative_sign, the same on Linux */
    char int_frac_digits, frac_digits, p_cs_precedes, p_sep_by_space, n_cs_precedes, n_sep_by_space, p_sign_posn,
        n_sign_posn, int_p_cs_precedes, int_n_cs_precedes, int_p_sep_by_space, int_n_sep_by_space, int_p_sign_posn,
        int_n_sign_posn;
} AppleLconv;

typedef struct { /* _RuneLocale */
    char magic[8], encoding[32];
    void *get_rune, *put_rune;
    int32_t invalid_rune;
    uint32_t types[256];
    int32_t lower[256], upper[256];
    struct {
        int32_t count;
        void *ranges;
    } more_types, more_lower, more_upper;
    void *variable;
    int32_t variable_length, class_count;
    void *classes;
} AppleRuneLocale;

/* pthread_mutex_t, pthread_cond_t, pthread_rwlock_t, pthread_once_t, pthread_mutexattr_t, pthread_attr_t */
typedef struct {
    int64_t signature;
    char state[56];
} AppleMutex;

typedef struct {
    int64_t signature;
    char state[40];
} AppleCondition;

typedef struct {
    int64_t signature;
    char state[192];
} AppleRwlock;

typedef struct {
    int64_t signature;
    char state[8];
} AppleOnce;

typedef struct {
    int64_t signature;
    char state[8];
} AppleAttribute;

typedef struct {
    int64_t signature;
    char state[56];
} AppleThreadAttribute;

#endif

/* Files: flags of open(), fcntl() and ioctl(), struct stat, directories.

   On ARM64, the variadic arguments of open(), openat(), fcntl() and ioctl() lie on the stack; on x86-64, where Linux's
   functions have them too. A flag or command without a twin ends the process by name.
   Sources: Apple's <sys/fcntl.h>, <sys/stat.h>, <sys/dirent.h>, <sys/ioctl.h>, <sys/filio.h>. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "macos.h"
#include "variadic.h"

/* ---- flags ---- */

static int
to_linux_open_flags(int flags)
{
    int found = flags & O_ACCMODE, known = O_ACCMODE;
#define ROW(name, number)                                                                                              \
    found |= flags & number ? name : 0;                                                                                \
    known |= number;
    APPLE_OPEN_FLAGS(ROW)
#undef ROW
    if (flags & ~known) {
        end_unsupported(STATUS_SHIM_FAILED, "open() with the flags 0x%x", flags & ~known);
    }
    return found;
}

static int
to_apple_open_flags(int flags)
{
    int found = flags & O_ACCMODE;
#define ROW(name, number) found |= (flags & name) == name ? number : 0;
    APPLE_OPEN_FLAGS(ROW)
#undef ROW
    return found;
}

static int
to_linux_directory(int directory)
{
    return directory == AAT_FDCWD ? AT_FDCWD : directory;
}

static int
to_linux_at_flags(int flags)
{
    const int known = AAT_EACCESS | AAT_SYMLINK_NOFOLLOW | AAT_SYMLINK_FOLLOW | AAT_REMOVEDIR;
    if (flags & ~known) {
        end_unsupported(STATUS_SHIM_FAILED, "a function of files with the flags 0x%x", flags & ~known);
    }
    return (flags & AAT_EACCESS ? AT_EACCESS : 0) | (flags & AAT_SYMLINK_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) |
           (flags & AAT_SYMLINK_FOLLOW ? AT_SYMLINK_FOLLOW : 0) | (flags & AAT_REMOVEDIR ? AT_REMOVEDIR : 0);
}

/* ---- open, fcntl, ioctl ---- */

static int
open_file(int directory, const char *path, int flags, mode_t mode)
{
    return openat(to_linux_directory(directory), path, to_linux_open_flags(flags), mode);
}

static int
call_lock(int file, int command, AppleFlock *given)
{
    struct flock lock = {.l_start = given->l_start, .l_len = given->l_len, .l_whence = given->l_whence};
    lock.l_type = given->l_type == AF_RDLCK ? F_RDLCK : given->l_type == AF_WRLCK ? F_WRLCK : F_UNLCK;
    int result = fcntl(file, command, &lock);
    if (result == 0 && command == F_GETLK) {
        given->l_start = lock.l_start;
        given->l_len = lock.l_len;
        given->l_whence = lock.l_whence;
        given->l_pid = lock.l_pid;
        given->l_type = lock.l_type == F_RDLCK ? AF_RDLCK : lock.l_type == F_WRLCK ? AF_WRLCK : AF_UNLCK;
    }
    return result;
}

static int
find_path(int file, char *path) /* F_GETPATH: into 1,024 bytes */
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, 1023);
    if (length >= 0) {
        path[length] = 0;
    }
    return length < 0 ? -1 : 0;
}

static int
control_file(int file, int command, u64 argument)
{
    int result;
    switch (command) {
    case AF_DUPFD:
        return fcntl(file, F_DUPFD, (int)argument);
    case AF_DUPFD_CLOEXEC:
        return fcntl(file, F_DUPFD_CLOEXEC, (int)argument);
    case AF_GETFD:
        return fcntl(file, F_GETFD);
    case AF_SETFD:
        return fcntl(file, F_SETFD, (int)argument);
    case AF_GETFL:
        result = fcntl(file, F_GETFL);
        return result < 0 ? result : to_apple_open_flags(result);
    case AF_SETFL:
        return fcntl(file, F_SETFL, to_linux_open_flags((int)argument));
    case AF_GETLK:
        return call_lock(file, F_GETLK, (AppleFlock *)argument);
    case AF_SETLK:
        return call_lock(file, F_SETLK, (AppleFlock *)argument);
    case AF_SETLKW:
        return call_lock(file, F_SETLKW, (AppleFlock *)argument);
    case AF_GETPATH:
        return find_path(file, (char *)argument);
    case AF_FULLFSYNC:
    case AF_BARRIERFSYNC:
        return fsync(file);
    case AF_NOCACHE: /* hints about caches */
    case AF_RDAHEAD:
    case AF_RDADVISE:
        return 0;
    default:
        end_unsupported(STATUS_SHIM_FAILED, "fcntl() with the command %d", command);
    }
}

static int
control_device(int file, unsigned long request, void *argument)
{
    switch ((int)request) {
    case AFIONBIO:
        return ioctl(file, FIONBIO, argument);
    case AFIONREAD:
        return ioctl(file, FIONREAD, argument);
    case AFIOCLEX:
        return ioctl(file, FIOCLEX, argument);
    case ATIOCGWINSZ: /* struct winsize is the same */
        return ioctl(file, TIOCGWINSZ, argument);
    default:
        end_unsupported(STATUS_SHIM_FAILED, "ioctl() with the request 0x%lx", request);
    }
}

#if defined(__aarch64__)
VARIADIC(open) { return open_file(AAT_FDCWD, POINTER(0), registers[1], REST(2)[0]); }

VARIADIC(openat) { return open_file(registers[0], POINTER(1), registers[2], REST(3)[0]); }

VARIADIC(fcntl) { return control_file(registers[0], registers[1], REST(2)[0]); }

VARIADIC(ioctl) { return control_device(registers[0], registers[1], (void *)REST(2)[0]); }
#else
EXPORT(open, int)(const char *path, int flags, mode_t mode) { return open_file(AAT_FDCWD, path, flags, mode); }

EXPORT(openat, int)(int directory, const char *path, int flags, mode_t mode)
{
    return open_file(directory, path, flags, mode);
}

EXPORT(fcntl, int)(int file, int command, u64 argument) { return control_file(file, command, argument); }

EXPORT(ioctl, int)(int file, unsigned long request, void *argument) { return control_device(file, request, argument); }
#endif

/* ---- struct stat ---- */

static AppleTimespec
to_apple_time(struct timespec time)
{
    return (AppleTimespec){time.tv_sec, time.tv_nsec};
}

static int
fill_stat(int result, const struct stat *found, AppleStat *to)
{
    if (result == 0) {
        *to = (AppleStat){
            .st_dev = found->st_dev,
            .st_mode = found->st_mode,
            .st_nlink = found->st_nlink,
            .st_ino = found->st_ino,
            .st_uid = found->st_uid,
            .st_gid = found->st_gid,
            .st_rdev = found->st_rdev,
            .st_atimespec = to_apple_time(found->st_atim),
            .st_mtimespec = to_apple_time(found->st_mtim),
            .st_ctimespec = to_apple_time(found->st_ctim),
            .st_birthtimespec = to_apple_time(found->st_ctim), /* as on Apple's file systems that don't know it */
            .st_size = found->st_size,
            .st_blocks = found->st_blocks,
            .st_blksize = found->st_blksize,
        };
    }
    return result;
}

static int
find_stat(int directory, const char *path, AppleStat *to, int flags)
{
    struct stat found;
    return fill_stat(fstatat(directory, path, &found, flags), &found, to);
}

#if defined(__aarch64__)
#define EXPORT_WITH_INODE64(name, type) EXPORT(name, type)
#else /* the plain names are those of an older layout, with 32-bit inode numbers */
#define EXPORT_WITH_INODE64(name, type) EXPORT(name##$INODE64, type)
#endif

EXPORT_WITH_INODE64(stat, int)(const char *path, AppleStat *to) { return find_stat(AT_FDCWD, path, to, 0); }

EXPORT_WITH_INODE64(lstat, int)(const char *path, AppleStat *to)
{
    return find_stat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW);
}

EXPORT_WITH_INODE64(fstat, int)(int file, AppleStat *to) { return find_stat(file, "", to, AT_EMPTY_PATH); }

EXPORT_WITH_INODE64(fstatat, int)(int directory, const char *path, AppleStat *to, int flags)
{
    return find_stat(to_linux_directory(directory), path, to, to_linux_at_flags(flags));
}

EXPORT(statvfs, int)(const char *path, AppleStatvfs *to)
{
    struct statvfs found;
    int result = statvfs(path, &found);
    if (result == 0) {
        /* Apple's flags are ST_RDONLY and ST_NOSUID: the same numbers. */
        *to = (AppleStatvfs){
            .f_bsize = found.f_bsize,
            .f_frsize = found.f_frsize,
            .f_blocks = found.f_blocks,
            .f_bfree = found.f_bfree,
            .f_bavail = found.f_bavail,
            .f_files = found.f_files,
            .f_ffree = found.f_ffree,
            .f_favail = found.f_favail,
            .f_fsid = found.f_fsid,
            .f_flag = found.f_flag & (ST_RDONLY | ST_NOSUID),
            .f_namemax = found.f_namemax,
        };
    }
    return result;
}

/* ---- directories: a DIR has room for the entry that readdir() returns ---- */

typedef struct {
    DIR *directory;
    AppleDirent entry;
} AppleDirectory;

static AppleDirectory *
wrap_directory(DIR *directory)
{
    AppleDirectory *made = directory == NULL ? NULL : malloc(sizeof(*made));
    if (made != NULL) {
        made->directory = directory;
    }
    else if (directory != NULL) {
        closedir(directory);
        errno = ENOMEM;
    }
    return made;
}

static void
fill_entry(const struct dirent *found, AppleDirent *to)
{
    size_t length = strlen(found->d_name);
    to->d_ino = found->d_ino;
    to->d_seekoff = found->d_off;
    to->d_reclen = (offsetof(AppleDirent, d_name) + length + 4) & ~3u;
    to->d_namlen = length;
    to->d_type = found->d_type;
    memcpy(to->d_name, found->d_name, length + 1);
}

EXPORT_WITH_INODE64(opendir, AppleDirectory *)(const char *path) { return wrap_directory(opendir(path)); }

EXPORT_WITH_INODE64(fdopendir, AppleDirectory *)(int file) { return wrap_directory(fdopendir(file)); }

EXPORT_WITH_INODE64(readdir, AppleDirent *)(AppleDirectory *given)
{
    const struct dirent *found = readdir(given->directory);
    if (found == NULL) {
        return NULL;
    }
    fill_entry(found, &given->entry);
    return &given->entry;
}

EXPORT_WITH_INODE64(readdir_r, int)(AppleDirectory *given, AppleDirent *entry, AppleDirent **result)
{
    int before = errno;
    errno = 0;
    const struct dirent *found = readdir(given->directory);
    int error = errno;
    errno = before;
    *result = NULL;
    if (found != NULL) {
        fill_entry(found, entry);
        *result = entry;
        return 0;
    }
    return to_apple_error(error);
}

EXPORT_WITH_INODE64(rewinddir, void)(AppleDirectory *given) { rewinddir(given->directory); }

EXPORT(dirfd, int)(AppleDirectory *given) { return dirfd(given->directory); }

EXPORT(closedir, int)(AppleDirectory *given)
{
    int result = closedir(given->directory);
    int error = errno;
    free(given);
    errno = error;
    return result;
}

/* ---- other functions with flags ---- */

EXPORT(faccessat, int)(int directory, const char *path, int mode, int flags)
{
    return faccessat(to_linux_directory(directory), path, mode, to_linux_at_flags(flags));
}

EXPORT(unlinkat, int)(int directory, const char *path, int flags)
{
    return unlinkat(to_linux_directory(directory), path, to_linux_at_flags(flags));
}

EXPORT(linkat, int)(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    return linkat(to_linux_directory(from_directory), from, to_linux_directory(to_directory), to,
                  to_linux_at_flags(flags));
}

EXPORT(fchmodat, int)(int directory, const char *path, mode_t mode, int flags)
{
    return fchmodat(to_linux_directory(directory), path, mode, to_linux_at_flags(flags));
}

/* UTIME_NOW and UTIME_OMIT are -1 and -2 on Apple. */
static const struct timespec *
to_linux_times(const struct timespec *given, struct timespec *times)
{
    for (int i = 0; given != NULL && i < 2; i++) {
        times[i] = given[i];
        times[i].tv_nsec = given[i].tv_nsec == -1 ? UTIME_NOW : given[i].tv_nsec == -2 ? UTIME_OMIT : given[i].tv_nsec;
    }
    return given == NULL ? NULL : times;
}

EXPORT(utimensat, int)(int directory, const char *path, const struct timespec *given, int flags)
{
    struct timespec times[2];
    return utimensat(to_linux_directory(directory), path, to_linux_times(given, times), to_linux_at_flags(flags));
}

EXPORT(futimens, int)(int file, const struct timespec *given)
{
    struct timespec times[2];
    return futimens(file, to_linux_times(given, times));
}

/* POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP and POLLNVAL are the same; Apple's number of files has 32 bits. */
EXPORT(poll, int)(struct pollfd *files, u32 count, int milliseconds) { return poll(files, count, milliseconds); }

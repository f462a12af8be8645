/* Streams and file descriptors of Microsoft's C library.

   A FILE and a descriptor are glibc's own. Text mode doesn't turn line feeds into pairs of characters here.
   Source: stdio.h, io.h, fcntl.h, sys/stat.h of the Universal CRT. */

#include <fcntl.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include "windows.h"

/* ---- streams ---- */

EXPORT(__acrt_iob_func, FILE *)(u32 number) { return number == 0 ? stdin : number == 1 ? stdout : stderr; }

/* A mode such as "rbN" or "wtS": Microsoft's letters behind the first ones change nothing here. */
static FILE *
open_stream(char *path, const char *mode)
{
    char plain[4] = {0};
    size_t count = 0;
    for (; *mode && *mode != ',' && count < 3; mode++) {
        if (strchr("rwax+b", *mode)) {
            plain[count++] = *mode;
        }
    }
    FILE *stream = path ? fopen(path, plain) : NULL;
    int error = errno;
    free(path);
    errno = error;
    return stream;
}

static FILE *
open_wide(const WCHAR *path, const WCHAR *mode)
{
    char narrow[16] = {0};
    to_utf8(mode, wide_length(mode), narrow, sizeof(narrow) - 1, NULL);
    return open_stream(copy_path(path), narrow);
}

EXPORT(fopen, FILE *)(const char *path, const char *mode) { return open_stream(copy_narrow_path(path), mode); }
EXPORT(_fsopen, FILE *)(const char *path, const char *mode, int sharing) { return w_fopen(path, mode); }
EXPORT(_wfopen, FILE *)(const WCHAR *path, const WCHAR *mode) { return open_wide(path, mode); }
EXPORT(_wfsopen, FILE *)(const WCHAR *path, const WCHAR *mode, int sharing) { return open_wide(path, mode); }

EXPORT(fopen_s, int)(FILE **stream, const char *path, const char *mode)
{
    *stream = w_fopen(path, mode);
    return *stream ? 0 : errno;
}

EXPORT(_wfopen_s, int)(FILE **stream, const WCHAR *path, const WCHAR *mode)
{
    *stream = open_wide(path, mode);
    return *stream ? 0 : errno;
}

EXPORT(_fdopen, FILE *)(int descriptor, const char *mode) { return fdopen(descriptor, mode); }
EXPORT(_fileno, int)(FILE *stream) { return fileno(stream); }
EXPORT(_lock_file, void)(FILE *stream) { flockfile(stream); }
EXPORT(_unlock_file, void)(FILE *stream) { funlockfile(stream); }
EXPORT(_fflush_nolock, int)(FILE *stream) { return fflush_unlocked(stream); }
EXPORT(_fwrite_nolock, size_t)(const void *from, size_t size, size_t count, FILE *stream)
{
    return fwrite_unlocked(from, size, count, stream);
}
EXPORT(_putc_nolock, int)(int c, FILE *stream) { return putc_unlocked(c, stream); }
EXPORT(_getc_nolock, int)(FILE *stream) { return getc_unlocked(stream); }

/* Positions: a `long` has 32 bits, fpos_t 64. */
EXPORT(fseek, int)(FILE *stream, int offset, int origin) { return fseeko(stream, offset, origin); }
EXPORT(_fseeki64, int)(FILE *stream, int64_t offset, int origin) { return fseeko(stream, offset, origin); }
EXPORT(_ftelli64, int64_t)(FILE *stream) { return ftello(stream); }
EXPORT(ftell, int)(FILE *stream)
{
    off_t position = ftello(stream);
    if (position > INT32_MAX) {
        errno = EINVAL;
        return -1;
    }
    return (int)position;
}
EXPORT(fgetpos, int)(FILE *stream, int64_t *position)
{
    *position = ftello(stream);
    return *position < 0 ? -1 : 0;
}
EXPORT(fsetpos, int)(FILE *stream, const int64_t *position) { return fseeko(stream, *position, SEEK_SET); }

/* Buffering: _IOFBF 0, _IONBF 4, _IOLBF 0x40, which is full buffering on Windows. */
EXPORT(setvbuf, int)(FILE *stream, char *buffer, int mode, size_t size)
{
    return setvbuf(stream, buffer, mode == 4 ? _IONBF : _IOFBF, size);
}
EXPORT(setbuf, void)(FILE *stream, char *buffer) { setbuf(stream, buffer); }

/* Wide characters are written and read as UTF-8. */
EXPORT(fputwc, WCHAR)(WCHAR unit, FILE *stream)
{
    char bytes[4];
    size_t length = to_utf8(&unit, 1, bytes, sizeof(bytes), NULL);
    return fwrite(bytes, 1, length, stream) == length ? unit : 0xFFFF;
}
EXPORT(fputws, int)(const WCHAR *text, FILE *stream)
{
    char *narrow = copy_utf8(text);
    int result = narrow ? fputs(narrow, stream) : EOF;
    free(narrow);
    return result;
}

/* Microsoft's C++ streams look into a FILE's buffer. glibc's is laid out otherwise: they get an empty one for each stream,
   so that they read and write by function calls. */
typedef struct buffer {
    FILE *stream;
    char *base, *position;
    int count;
    struct buffer *next;
} StreamBuffer;

EXPORT(_get_stream_buffer_pointers, int)(FILE *stream, char ***base, char ***position, int **count)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static StreamBuffer *buffers;
    pthread_mutex_lock(&lock);
    StreamBuffer *found = buffers;
    while (found != NULL && found->stream != stream) {
        found = found->next;
    }
    if (found == NULL && (found = calloc(1, sizeof(*found))) != NULL) {
        found->stream = stream;
        found->next = buffers;
        buffers = found;
    }
    pthread_mutex_unlock(&lock);
    if (found == NULL) {
        return ENOMEM;
    }
    found->base = found->position = NULL;
    found->count = 0;
    *base = &found->base;
    *position = &found->position;
    *count = &found->count;
    return 0;
}

/* ---- descriptors ---- */

static const Flag open_flags[] = {{1, O_WRONLY},    {2, O_RDWR},     {8, O_APPEND},     {0x100, O_CREAT},
                                  {0x200, O_TRUNC}, {0x400, O_EXCL}, {0x80, O_CLOEXEC}, {0x2000, O_DIRECTORY}};
enum { IGNORED_FLAGS = 0x8000 | 0x4000 | 0x20 | 0x10 | 0x1000 }; /* binary, text, sequential, random, short-lived */

static int
convert_open_flags(int flags)
{
    int result = TO_NATIVE_FLAGS(open_flags, flags);
    if (TO_WINDOWS_FLAGS(open_flags, result) != (flags & ~IGNORED_FLAGS)) { /* a flag was dropped */
        end_unsupported(STATUS_SHIM_FAILED, "_open with the flags 0x%x", flags);
    }
    return result;
}

/* The mode is _S_IREAD 0400 and _S_IWRITE 0200: all or nobody on Windows. */
static int
open_descriptor(char *path, int flags, int mode)
{
    int converted = convert_open_flags(flags);
    int descriptor = path ? open(path, converted, mode & 0200 ? 0666 : 0444) : -1;
    int error = errno;
    free(path);
    errno = error;
    return descriptor;
}

/* _open and _wopen are variadic: their third argument is in a register all the same. */
EXPORT(_open, int)(const char *path, int flags, int mode)
{
    return open_descriptor(copy_narrow_path(path), flags, mode);
}
EXPORT(_wopen, int)(const WCHAR *path, int flags, int mode) { return open_descriptor(copy_path(path), flags, mode); }
EXPORT(_sopen_s, int)(int *descriptor, const char *path, int flags, int sharing, int mode)
{
    *descriptor = w__open(path, flags, mode);
    return *descriptor < 0 ? errno : 0;
}
EXPORT(_wsopen_s, int)(int *descriptor, const WCHAR *path, int flags, int sharing, int mode)
{
    *descriptor = w__wopen(path, flags, mode);
    return *descriptor < 0 ? errno : 0;
}
EXPORT(_close, int)(int descriptor) { return close(descriptor); }
EXPORT(_read, int)(int descriptor, void *to, u32 count)
{
    return (int)read(descriptor, to, count > INT32_MAX ? INT32_MAX : count);
}
EXPORT(_write, int)(int descriptor, const void *from, u32 count)
{
    return (int)write(descriptor, from, count > INT32_MAX ? INT32_MAX : count);
}
EXPORT(_lseek, int)(int descriptor, int offset, int origin) { return (int)lseek(descriptor, offset, origin); }
EXPORT(_lseeki64, int64_t)(int descriptor, int64_t offset, int origin) { return lseek(descriptor, offset, origin); }
EXPORT(_telli64, int64_t)(int descriptor) { return lseek(descriptor, 0, SEEK_CUR); }
EXPORT(_dup, int)(int descriptor) { return dup(descriptor); }
EXPORT(_dup2, int)(int from, int to) { return dup2(from, to) < 0 ? -1 : 0; }
EXPORT(_isatty, int)(int descriptor) { return isatty(descriptor); }
EXPORT(_commit, int)(int descriptor) { return fsync(descriptor); }
EXPORT(_chsize_s, int)(int descriptor, int64_t size) { return ftruncate(descriptor, size) < 0 ? errno : 0; }
EXPORT(_chsize, int)(int descriptor, int size) { return ftruncate(descriptor, size); }
EXPORT(_filelengthi64, int64_t)(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) < 0 ? -1 : status.st_size;
}
/* The mode before is returned: _O_BINARY, since nothing is translated. */
EXPORT(_setmode, int)(int descriptor, int mode) { return fcntl(descriptor, F_GETFD) < 0 ? -1 : 0x8000; }

/* ---- files by name ---- */

#define WITH_PATH(copy, call)                       \
    char *name = copy;                              \
    int result = name ? (call) : -1, error = errno; \
    free(name);                                     \
    errno = error;                                  \
    return result

EXPORT(remove, int)(const char *path) { WITH_PATH(copy_narrow_path(path), unlink(name)); }
EXPORT(_unlink, int)(const char *path) { WITH_PATH(copy_narrow_path(path), unlink(name)); }
EXPORT(_wremove, int)(const WCHAR *path) { WITH_PATH(copy_path(path), unlink(name)); }
EXPORT(_wunlink, int)(const WCHAR *path) { WITH_PATH(copy_path(path), unlink(name)); }
EXPORT(_mkdir, int)(const char *path) { WITH_PATH(copy_narrow_path(path), mkdir(name, 0777)); }
EXPORT(_wmkdir, int)(const WCHAR *path) { WITH_PATH(copy_path(path), mkdir(name, 0777)); }
EXPORT(_rmdir, int)(const char *path) { WITH_PATH(copy_narrow_path(path), rmdir(name)); }
EXPORT(_wrmdir, int)(const WCHAR *path) { WITH_PATH(copy_path(path), rmdir(name)); }
EXPORT(_chdir, int)(const char *path) { WITH_PATH(copy_narrow_path(path), chdir(name)); }
EXPORT(_wchdir, int)(const WCHAR *path) { WITH_PATH(copy_path(path), chdir(name)); }
EXPORT(_access, int)(const char *path, int mode) { WITH_PATH(copy_narrow_path(path), access(name, mode & 6)); }
EXPORT(_waccess, int)(const WCHAR *path, int mode) { WITH_PATH(copy_path(path), access(name, mode & 6)); }

/* Unlike Linux's rename, Windows' refuses a target that exists. */
static int
rename_file(char *from, char *to)
{
    int result = from && to ? renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) : -1, error = errno;
    free(from);
    free(to);
    errno = error;
    return result;
}

EXPORT(rename, int)(const char *from, const char *to)
{
    return rename_file(copy_narrow_path(from), copy_narrow_path(to));
}
EXPORT(_wrename, int)(const WCHAR *from, const WCHAR *to) { return rename_file(copy_path(from), copy_path(to)); }

EXPORT(_getcwd, char *)(char *to, int size) { return getcwd(to, to ? (size_t)size : 0); }

EXPORT(_wgetcwd, WCHAR *)(WCHAR *to, int size)
{
    char *path = getcwd(NULL, 0);
    WCHAR *wide = copy_utf16(path);
    free(path);
    if (to == NULL || wide == NULL) {
        return wide;
    }
    size_t length = wide_length(wide) + 1;
    if (length <= (size_t)size) {
        memcpy(to, wide, length * sizeof(WCHAR));
    }
    free(wide);
    errno = length <= (size_t)size ? errno : ERANGE;
    return length <= (size_t)size ? to : NULL;
}

/* ---- status of files: sys/stat.h; all times in seconds ---- */

typedef struct { /* struct _stat64i32 */
    u32 device;
    u16 inode, mode;
    int16_t links, owner, group;
    u32 special_device;
    int size;
    int64_t accessed, modified, created;
} Status32;

typedef struct { /* struct _stat64 */
    u32 device;
    u16 inode, mode;
    int16_t links, owner, group;
    u32 special_device;
    int64_t size, accessed, modified, created;
} Status64;
_Static_assert(sizeof(Status32) == 48 && sizeof(Status64) == 56, "the layout of sys/stat.h");

#define FILL_STATUS(to, from)                                                                           \
    memset(to, 0, sizeof(*(to)));                                                                       \
    (to)->mode = (u16)((from).st_mode & (0777 | S_IFMT)); /* the types of files have Linux's numbers */ \
    (to)->links = (int16_t)(from).st_nlink;                                                             \
    (to)->size = (__typeof__((to)->size))(from).st_size;                                                \
    (to)->accessed = (from).st_atime;                                                                   \
    (to)->modified = (from).st_mtime;                                                                   \
    (to)->created = (from).st_ctime

static int
fill_32(int result, const struct stat *status, Status32 *to)
{
    if (result == 0 && status->st_size > INT32_MAX) {
        errno = EOVERFLOW;
        return -1;
    }
    if (result == 0) {
        FILL_STATUS(to, *status);
    }
    return result;
}

static int
fill_64(int result, const struct stat *status, Status64 *to)
{
    if (result == 0) {
        FILL_STATUS(to, *status);
    }
    return result;
}

static int
read_status(char *path, struct stat *status)
{
    WITH_PATH(path, stat(name, status));
}

#define STATUS(fill, call) \
    struct stat status;    \
    return fill(call, &status, to)
EXPORT(_stat64i32, int)(const char *path, Status32 *to)
{
    STATUS(fill_32, read_status(copy_narrow_path(path), &status));
}
EXPORT(_wstat64i32, int)(const WCHAR *path, Status32 *to) { STATUS(fill_32, read_status(copy_path(path), &status)); }
EXPORT(_fstat64i32, int)(int descriptor, Status32 *to) { STATUS(fill_32, fstat(descriptor, &status)); }
EXPORT(_stat64, int)(const char *path, Status64 *to) { STATUS(fill_64, read_status(copy_narrow_path(path), &status)); }
EXPORT(_wstat64, int)(const WCHAR *path, Status64 *to) { STATUS(fill_64, read_status(copy_path(path), &status)); }
EXPORT(_fstat64, int)(int descriptor, Status64 *to) { STATUS(fill_64, fstat(descriptor, &status)); }

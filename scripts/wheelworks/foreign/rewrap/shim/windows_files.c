/* Files of Windows by handle. Nothing is asynchronous: an operation with OVERLAPPED has ended when it returns.
   Source: https://learn.microsoft.com/windows/win32/api/fileapi */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "windows.h"

#define GENERIC_READ 0x80000000u
#define GENERIC_WRITE 0x40000000u
enum { FILE_APPEND_DATA = 4, FILE_READ_DATA = 1, FILE_WRITE_DATA = 2 };
enum { CREATE_NEW = 1, CREATE_ALWAYS, OPEN_EXISTING, OPEN_ALWAYS, TRUNCATE_EXISTING };
enum { FLAG_DELETE_ON_CLOSE = 0x04000000, FLAG_BACKUP_SEMANTICS = 0x02000000 };

extern BOOL w_SetEvent(HANDLE);

/* ---- opening ---- */

HANDLE
handle_of_descriptor(int descriptor)
{
    Object *file = make_object(KIND_FILE);
    if (file == NULL) {
        return INVALID_HANDLE_VALUE;
    }
    file->descriptor = descriptor;
    HANDLE handle = make_handle(file);
    return handle ? handle : INVALID_HANDLE_VALUE;
}

static int
choose_flags(u32 access, u32 disposition)
{
    static const int creation[] = {0, O_CREAT | O_EXCL, O_CREAT | O_TRUNC, 0, O_CREAT, O_TRUNC};
    BOOL reads = access & (GENERIC_READ | FILE_READ_DATA),
         writes = access & (GENERIC_WRITE | FILE_WRITE_DATA | FILE_APPEND_DATA);
    BOOL appends = access & FILE_APPEND_DATA && !(access & (GENERIC_WRITE | FILE_WRITE_DATA));
    return (reads && writes ? O_RDWR
            : writes        ? O_WRONLY
                            : O_RDONLY) |
           (appends ? O_APPEND : 0) | creation[disposition] | O_CLOEXEC;
}

static HANDLE
create_file(char *path, u32 access, u32 disposition, u32 flags)
{
    if (path == NULL || disposition < CREATE_NEW || disposition > TRUNCATE_EXISTING || flags & FLAG_DELETE_ON_CLOSE) {
        free(path);
        fail(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    struct stat status;
    BOOL existed = stat(path, &status) == 0;
    if (existed && S_ISDIR(status.st_mode) && !(flags & FLAG_BACKUP_SEMANTICS)) {
        free(path);
        fail(ERROR_ACCESS_DENIED);
        return INVALID_HANDLE_VALUE;
    }
    int descriptor = open(path, choose_flags(access, disposition), 0666);
    int error = errno;
    free(path);
    if (descriptor < 0) {
        fail(error == EEXIST ? ERROR_FILE_EXISTS : error_of_errno(error));
        return INVALID_HANDLE_VALUE;
    }
    last_error =
        existed && (disposition == CREATE_ALWAYS || disposition == OPEN_ALWAYS) ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS;
    return handle_of_descriptor(descriptor);
}

EXPORT(CreateFileW, HANDLE)
(const WCHAR *path, u32 access, u32 sharing, void *security, u32 disposition, u32 flags, HANDLE template)
{
    return create_file(copy_path(path), access, disposition, flags);
}

EXPORT(CreateFileA, HANDLE)
(const char *path, u32 access, u32 sharing, void *security, u32 disposition, u32 flags, HANDLE template)
{
    return create_file(copy_narrow_path(path), access, disposition, flags);
}

/* The standard streams: STD_INPUT_HANDLE -10, STD_OUTPUT_HANDLE -11, STD_ERROR_HANDLE -12 */
EXPORT(GetStdHandle, HANDLE)(u32 which)
{
    static HANDLE handles[3];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    u32 number = 0u - which - 10;
    if (number > 2) {
        fail(ERROR_INVALID_HANDLE);
        return INVALID_HANDLE_VALUE;
    }
    pthread_mutex_lock(&lock);
    if (handles[number] == NULL) {
        handles[number] = handle_of_descriptor((int)number);
    }
    pthread_mutex_unlock(&lock);
    return handles[number];
}

/* No handle is one of a console here, even where the descriptor is a terminal. */
EXPORT(GetConsoleMode, BOOL)(HANDLE handle, u32 *mode) { return fail(ERROR_INVALID_HANDLE); }
EXPORT(SetConsoleMode, BOOL)(HANDLE handle, u32 mode) { return fail(ERROR_INVALID_HANDLE); }
EXPORT(GetConsoleScreenBufferInfo, BOOL)(HANDLE handle, void *to) { return fail(ERROR_INVALID_HANDLE); }
EXPORT(WriteConsoleW, BOOL)(HANDLE handle, const void *from, u32 count, u32 *written, void *reserved)
{
    return fail(ERROR_INVALID_HANDLE);
}

/* A descriptor's handle: a new one each time, which closes a copy. */
EXPORT(_get_osfhandle, intptr_t)(int descriptor)
{
    if (descriptor >= 0 && descriptor <= 2) {
        return (intptr_t)w_GetStdHandle(0u - 10 - (u32)descriptor);
    }
    int copy = dup(descriptor);
    return copy < 0 ? -1 : (intptr_t)handle_of_descriptor(copy);
}

EXPORT(_open_osfhandle, int)(intptr_t handle, int flags)
{
    Object *file = borrow((HANDLE)handle, KIND_FILE);
    int copy = file ? dup(file->descriptor) : -1;
    release(file);
    return copy;
}

enum { TYPE_UNKNOWN, TYPE_DISK, TYPE_CHARACTER, TYPE_PIPE };
EXPORT(GetFileType, u32)(HANDLE handle)
{
    struct stat status;
    Object *file = borrow(handle, KIND_FILE);
    int result = file ? fstat(file->descriptor, &status) : -1;
    release(file);
    if (result < 0) {
        return TYPE_UNKNOWN;
    }
    return S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) ? TYPE_DISK
           : S_ISCHR(status.st_mode)                          ? TYPE_CHARACTER
                                                              : TYPE_PIPE;
}

/* ---- reading and writing ---- */

typedef struct { /* OVERLAPPED */
    u64 status, count;
    u64 offset; /* of two halves */
    HANDLE event;
} Overlapped;

static BOOL
finish(ssize_t count, u32 *done, Overlapped *overlapped)
{
    if (count < 0) {
        return fail_errno();
    }
    if (done != NULL) {
        *done = (u32)count;
    }
    if (overlapped != NULL) {
        overlapped->status = 0;
        overlapped->count = (u64)count;
        if (overlapped->event != NULL) {
            w_SetEvent((HANDLE)((uintptr_t)overlapped->event & ~(uintptr_t)1));
        }
    }
    return 1;
}

EXPORT(ReadFile, BOOL)(HANDLE handle, void *to, u32 count, u32 *done, Overlapped *overlapped)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    ssize_t result =
        overlapped ? pread(file->descriptor, to, count, (off_t)overlapped->offset) : read(file->descriptor, to, count);
    int error = errno;
    release(file);
    errno = error;
    if (result == 0 && count > 0 && overlapped != NULL) {
        return fail(ERROR_HANDLE_EOF);
    }
    return finish(result, done, overlapped);
}

EXPORT(WriteFile, BOOL)(HANDLE handle, const void *from, u32 count, u32 *done, Overlapped *overlapped)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    ssize_t result = overlapped ? pwrite(file->descriptor, from, count, (off_t)overlapped->offset)
                                : write(file->descriptor, from, count);
    int error = errno;
    release(file);
    errno = error;
    return finish(result, done, overlapped);
}

/* Rust's standard streams. Results are NTSTATUS: https://learn.microsoft.com/windows-hardware/drivers/ddi/ntifs */
enum {
    STATUS_INVALID_HANDLE = (int)0xC0000008,
    STATUS_UNSUCCESSFUL = (int)0xC0000001,
    STATUS_END_OF_FILE = (int)0xC0000011
};

EXPORT(NtWriteFile, int)
(HANDLE handle, HANDLE event, void *apc, void *context, u64 *status, const void *from, u32 count, void *offset,
 void *key)
{
    u32 done = 0;
    BOOL written = w_WriteFile(handle, from, count, &done, NULL);
    int result = written ? 0 : last_error == ERROR_INVALID_HANDLE ? STATUS_INVALID_HANDLE : STATUS_UNSUCCESSFUL;
    status[0] = (u32)result;
    status[1] = done;
    return result;
}

EXPORT(NtReadFile, int)
(HANDLE handle, HANDLE event, void *apc, void *context, u64 *status, void *to, u32 count, void *offset, void *key)
{
    u32 done = 0;
    BOOL read_some = w_ReadFile(handle, to, count, &done, NULL);
    int result = !read_some ? STATUS_UNSUCCESSFUL : done == 0 && count > 0 ? STATUS_END_OF_FILE : 0;
    status[0] = (u32)result;
    status[1] = done;
    return result;
}

EXPORT(RtlNtStatusToDosError, u32)(int status)
{
    return status == 0                       ? ERROR_SUCCESS
           : status == STATUS_INVALID_HANDLE ? ERROR_INVALID_HANDLE
           : status == STATUS_END_OF_FILE    ? ERROR_HANDLE_EOF
           : status == STATUS_UNSUCCESSFUL   ? ERROR_GEN_FAILURE
                                             : 317; /* ERROR_MR_MID_NOT_FOUND */
}

/* ---- size and position ---- */

static BOOL
read_status(HANDLE handle, struct stat *status)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    int result = fstat(file->descriptor, status);
    BOOL known = result == 0 ? 1 : fail_errno();
    release(file);
    return known;
}

EXPORT(GetFileSizeEx, BOOL)(HANDLE handle, int64_t *to)
{
    struct stat status;
    if (!read_status(handle, &status)) {
        return 0;
    }
    *to = status.st_size;
    return 1;
}

EXPORT(GetFileSize, u32)(HANDLE handle, u32 *high)
{
    int64_t size;
    if (!w_GetFileSizeEx(handle, &size)) {
        return 0xFFFFFFFF;
    }
    if (high != NULL) {
        *high = (u32)(size >> 32);
    }
    last_error = ERROR_SUCCESS;
    return (u32)size;
}

EXPORT(SetFilePointerEx, BOOL)(HANDLE handle, int64_t distance, int64_t *to, u32 origin)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    off_t position = lseek(file->descriptor, distance, (int)origin); /* FILE_BEGIN 0 and so on are SEEK_SET ... */
    BOOL moved = position >= 0 ? 1 : fail_errno();
    release(file);
    if (moved && to != NULL) {
        *to = position;
    }
    return moved;
}

EXPORT(SetFilePointer, u32)(HANDLE handle, int low, int *high, u32 origin)
{
    int64_t position, distance = high ? (int64_t)((u64)*high << 32 | (u32)low) : low;
    if (!w_SetFilePointerEx(handle, distance, &position, origin)) {
        return 0xFFFFFFFF;
    }
    if (high != NULL) {
        *high = (int)(position >> 32);
    }
    last_error = ERROR_SUCCESS;
    return (u32)position;
}

EXPORT(SetEndOfFile, BOOL)(HANDLE handle)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    off_t position = lseek(file->descriptor, 0, SEEK_CUR);
    BOOL cut = position >= 0 && ftruncate(file->descriptor, position) == 0 ? 1 : fail_errno();
    release(file);
    return cut;
}

EXPORT(FlushFileBuffers, BOOL)(HANDLE handle)
{
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    BOOL flushed = fsync(file->descriptor) == 0 || errno == EINVAL ? 1 : fail_errno();
    release(file);
    return flushed;
}

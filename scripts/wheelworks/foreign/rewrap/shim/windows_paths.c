/* Files and folders of Windows by name. Paths are those of Linux, but for separators.
   Source: https://learn.microsoft.com/windows/win32/api/fileapi, winbase */

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "windows.h"

enum { READONLY = 1, DIRECTORY = 0x10, NORMAL = 0x80, REPARSE_POINT = 0x400, INVALID_ATTRIBUTES = -1 };

static u32
attributes_of(const struct stat *status)
{
    u32 found = (S_ISDIR(status->st_mode) ? DIRECTORY : 0) | (S_ISLNK(status->st_mode) ? REPARSE_POINT : 0);
    found |= status->st_mode & 0222 ? 0 : READONLY;
    return found ? found : NORMAL;
}

/* Do `call` with the path in `name`, and free it. */
#define WITH_PATH(copy, call)                   \
    char *name = copy;                          \
    if (name == NULL) {                         \
        return fail(ERROR_INVALID_PARAMETER);   \
    }                                           \
    BOOL done = (call) == 0 ? 1 : fail_errno(); \
    free(name);                                 \
    return done

static BOOL
read_status(char *path, struct stat *status)
{
    WITH_PATH(path, stat(name, status));
}

EXPORT(CreateDirectoryW, BOOL)(const WCHAR *path, void *security) { WITH_PATH(copy_path(path), mkdir(name, 0777)); }
EXPORT(RemoveDirectoryW, BOOL)(const WCHAR *path) { WITH_PATH(copy_path(path), rmdir(name)); }
EXPORT(DeleteFileW, BOOL)(const WCHAR *path) { WITH_PATH(copy_path(path), unlink(name)); }
EXPORT(SetCurrentDirectoryW, BOOL)(const WCHAR *path) { WITH_PATH(copy_path(path), chdir(name)); }

enum { REPLACE_EXISTING = 1, COPY_ALLOWED = 2, WRITE_THROUGH = 8 };
EXPORT(MoveFileExW, BOOL)(const WCHAR *from, const WCHAR *to, u32 flags)
{
    if (flags & ~(u32)(REPLACE_EXISTING | COPY_ALLOWED | WRITE_THROUGH)) {
        return fail(ERROR_NOT_SUPPORTED);
    }
    char *source = copy_path(from), *target = copy_path(to);
    u32 mode = flags & REPLACE_EXISTING ? 0 : RENAME_NOREPLACE;
    int result = source && target ? renameat2(AT_FDCWD, source, AT_FDCWD, target, mode) : -1;
    BOOL moved = result == 0 ? 1 : fail_errno();
    free(source);
    free(target);
    return moved;
}

EXPORT(GetFileAttributesW, u32)(const WCHAR *path)
{
    struct stat status;
    return read_status(copy_path(path), &status) ? attributes_of(&status) : (u32)INVALID_ATTRIBUTES;
}
EXPORT(GetFileAttributesA, u32)(const char *path)
{
    struct stat status;
    return read_status(copy_narrow_path(path), &status) ? attributes_of(&status) : (u32)INVALID_ATTRIBUTES;
}

/* Times are of 4-byte alignment; the time of creation is that of the last change of the status. */
typedef struct {
    u32 created[2], accessed[2], modified[2];
} Times;

static void
fill_time(u32 *to, const struct timespec *from)
{
    u64 ticks = filetime_of(from->tv_sec, from->tv_nsec);
    to[0] = (u32)ticks;
    to[1] = (u32)(ticks >> 32);
}

static Times
times_of(const struct stat *status)
{
    Times times;
    fill_time(times.created, &status->st_ctim);
    fill_time(times.accessed, &status->st_atim);
    fill_time(times.modified, &status->st_mtim);
    return times;
}

typedef struct { /* WIN32_FILE_ATTRIBUTE_DATA */
    u32 attributes;
    Times times;
    u32 size_high, size_low;
} AttributeData;

EXPORT(GetFileAttributesExW, BOOL)(const WCHAR *path, u32 level, AttributeData *to)
{
    struct stat status;
    if (level != 0) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    if (!read_status(copy_path(path), &status)) {
        return 0;
    }
    u64 size = (u64)status.st_size;
    *to = (AttributeData){attributes_of(&status), times_of(&status), (u32)(size >> 32), (u32)size};
    return 1;
}

typedef struct { /* BY_HANDLE_FILE_INFORMATION */
    u32 attributes;
    Times times;
    u32 volume, size_high, size_low, links, index_high, index_low;
} FileInformation;

EXPORT(GetFileInformationByHandle, BOOL)(HANDLE handle, FileInformation *to)
{
    struct stat status;
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    BOOL known = fstat(file->descriptor, &status) == 0 ? 1 : fail_errno();
    release(file);
    if (known) {
        u64 size = (u64)status.st_size, index = status.st_ino;
        *to = (FileInformation){attributes_of(&status), times_of(&status), (u32)status.st_dev,
                                (u32)(size >> 32),      (u32)size,         (u32)status.st_nlink,
                                (u32)(index >> 32),     (u32)index};
    }
    return known;
}

/* ---- paths ---- */

EXPORT(GetCurrentDirectoryW, u32)(u32 size, WCHAR *to)
{
    char *path = getcwd(NULL, 0);
    u32 length = path ? copy_out(path, to, size) : (u32)fail_errno();
    free(path);
    return length;
}

EXPORT(GetTempPathW, u32)(u32 size, WCHAR *to)
{
    const char *folder = getenv("TMP") ? getenv("TMP") : getenv("TEMP") ? getenv("TEMP") : "/tmp";
    char path[4096];
    snprintf(path, sizeof(path), "%s/", folder);
    return copy_out(path, to, size);
}

EXPORT(GetFullPathNameW, u32)(const WCHAR *path, u32 size, WCHAR *to, WCHAR **file)
{
    char *name = copy_path(path), *folder = getcwd(NULL, 0), *whole = NULL;
    if (name == NULL || folder == NULL ||
        asprintf(&whole, "%s%s%s", *name == '/' ? "" : folder, *name == '/' ? "" : "/", name) < 0) {
        whole = NULL;
    }
    u32 length = whole ? copy_out(whole, to, size) : (u32)fail(ERROR_NOT_ENOUGH_MEMORY);
    if (file != NULL && length < size) {
        *file = NULL;
        for (u32 i = 0; i < length; i++) {
            *file = to[i] == '/' && i + 1 < length ? to + i + 1 : *file;
        }
    }
    free(name);
    free(folder);
    free(whole);
    return length;
}

EXPORT(GetFinalPathNameByHandleW, u32)(HANDLE handle, WCHAR *to, u32 size, u32 flags)
{
    char link[64], path[4096];
    Object *file = borrow(handle, KIND_FILE);
    if (file == NULL) {
        return 0;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->descriptor);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    release(file);
    if (length < 0) {
        return (u32)fail_errno();
    }
    path[length] = 0;
    return copy_out(path, to, size);
}

/* FileNameInfo (2): a length in bytes and the name. Other kinds of information aren't supported. */
EXPORT(GetFileInformationByHandleEx, BOOL)(HANDLE handle, u32 kind, u32 *to, u32 size)
{
    WCHAR name[4096];
    u32 length = kind == 2 ? w_GetFinalPathNameByHandleW(handle, name, 4096, 0) : (u32)fail(ERROR_NOT_SUPPORTED);
    if (length == 0 || length >= 4096) {
        return 0;
    }
    if (size < 4 + 2 * length) {
        return fail(ERROR_MORE_DATA);
    }
    *to = 2 * length;
    memcpy(to + 1, name, 2 * length);
    return 1;
}

EXPORT(GetDiskFreeSpaceExW, BOOL)(const WCHAR *path, u64 *available, u64 *total, u64 *left)
{
    struct statvfs status;
    char *name = path ? copy_path(path) : strdup(".");
    BOOL known = name && statvfs(name, &status) == 0 ? 1 : fail_errno();
    free(name);
    u64 *places[] = {available, total, left};
    u64 values[] = {status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize,
                    status.f_bfree * status.f_frsize};
    for (int i = 0; known && i < 3; i++) {
        if (places[i] != NULL) {
            *places[i] = values[i];
        }
    }
    return known;
}

/* ---- searching a folder ---- */

typedef struct { /* WIN32_FIND_DATAW */
    u32 attributes;
    Times times;
    u32 size_high, size_low, reserved[2];
    WCHAR name[260], short_name[14];
} FindData;

typedef struct {
    DIR *folder;
    char *pattern;
} Search;

static void
close_search(void *data)
{
    Search *search = data;
    if (search->folder != NULL) {
        closedir(search->folder);
    }
    free(search->pattern);
    free(search);
}

static BOOL
find_next(Search *search, FindData *to)
{
    struct dirent *found;
    struct stat status;
    while ((found = readdir(search->folder)) != NULL) {
        if (fnmatch(search->pattern, found->d_name, FNM_NOESCAPE | FNM_CASEFOLD) != 0) {
            continue;
        }
        if (fstatat(dirfd(search->folder), found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
            continue;
        }
        u64 size = (u64)status.st_size;
        *to = (FindData){.attributes = attributes_of(&status),
                         .times = times_of(&status),
                         .size_high = (u32)(size >> 32),
                         .size_low = (u32)size};
        if (copy_out(found->d_name, to->name, 260) < 260) {
            return 1;
        }
    }
    return fail(ERROR_NO_MORE_FILES);
}

static Search *
open_search(char *path)
{
    Search *search = calloc(1, sizeof(Search));
    char *slash = path ? strrchr(path, '/') : NULL;
    if (search != NULL && path != NULL) {
        search->pattern = strdup(slash ? slash + 1 : path);
        if (slash != NULL) {
            slash[slash == path] = 0;
        }
        search->folder = opendir(slash ? path : ".");
        if (search->pattern && strcmp(search->pattern, "*.*") == 0) { /* all names, on Windows */
            search->pattern[1] = 0;
        }
    }
    if (search != NULL && (search->folder == NULL || search->pattern == NULL)) {
        fail(errno == ENOENT ? ERROR_PATH_NOT_FOUND : error_of_errno(errno));
        close_search(search);
        search = NULL;
    }
    free(path);
    return search;
}

EXPORT(FindFirstFileExW, HANDLE)(const WCHAR *path, u32 level, FindData *to, u32 operation, void *filter, u32 flags)
{
    Search *search = open_search(copy_path(path));
    Object *object = search ? make_object(KIND_SEARCH) : NULL;
    if (object == NULL) {
        return INVALID_HANDLE_VALUE;
    }
    object->data = search;
    object->close = close_search;
    if (!find_next(search, to)) {
        release(object);
        fail(ERROR_FILE_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    HANDLE handle = make_handle(object);
    return handle ? handle : INVALID_HANDLE_VALUE;
}

EXPORT(FindFirstFileW, HANDLE)(const WCHAR *path, FindData *to) { return w_FindFirstFileExW(path, 1, to, 0, NULL, 0); }

EXPORT(FindNextFileW, BOOL)(HANDLE handle, FindData *to)
{
    Object *object = borrow(handle, KIND_SEARCH);
    BOOL found = object ? find_next(object->data, to) : 0;
    release(object);
    return found;
}

extern BOOL w_CloseHandle(HANDLE);
EXPORT(FindClose, BOOL)(HANDLE handle) { return w_CloseHandle(handle); }

/* ---- links ---- */

EXPORT(CreateHardLinkW, BOOL)(const WCHAR *path, const WCHAR *existing, void *security)
{
    char *target = copy_path(existing), *name = copy_path(path);
    BOOL linked = target && name && link(target, name) == 0 ? 1 : fail_errno();
    free(target);
    free(name);
    return linked;
}

EXPORT(CreateSymbolicLinkW, u8)(const WCHAR *path, const WCHAR *existing, u32 flags)
{
    char *target = copy_path(existing), *name = copy_path(path);
    BOOL linked = target && name && symlink(target, name) == 0 ? 1 : fail_errno();
    free(target);
    free(name);
    return (u8)linked;
}

/* Mappings of files, and of memory without a file.
   Source: https://learn.microsoft.com/windows/win32/api/memoryapi */

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "windows.h"

enum { FILE_MAP_COPY = 1, FILE_MAP_WRITE = 2, FILE_MAP_READ = 4, FILE_MAP_EXECUTE = 0x20 };

static HANDLE
create_mapping(HANDLE handle, u32 protection, u64 size, BOOL named)
{
    if (named || protection & ~0xFFu) {
        fail_shim("a mapping with a name or with flags");
    }
    Object *file = handle == INVALID_HANDLE_VALUE ? NULL : borrow(handle, KIND_FILE);
    if (handle != INVALID_HANDLE_VALUE && file == NULL) {
        return NULL;
    }
    int descriptor = file ? dup(file->descriptor) : memfd_create("mapping", MFD_CLOEXEC);
    release(file);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) < 0) {
        fail_errno();
        return NULL;
    }
    size = size ? size : (u64)status.st_size;
    if (size == 0 || (size > (u64)status.st_size && ftruncate(descriptor, (off_t)size) < 0)) {
        fail(size == 0 ? 1006u : error_of_errno(errno)); /* ERROR_FILE_INVALID */
        close(descriptor);
        return NULL;
    }
    Object *mapping = make_object(KIND_MAPPING);
    if (mapping == NULL) {
        close(descriptor);
        return NULL;
    }
    mapping->descriptor = descriptor;
    mapping->size = size;
    return make_handle(mapping);
}

#define SIZE_OF_HALVES ((u64)high << 32 | low)
EXPORT(CreateFileMappingW, HANDLE)(HANDLE file, void *security, u32 protection, u32 high, u32 low, const WCHAR *name)
{
    return create_mapping(file, protection, SIZE_OF_HALVES, name != NULL);
}
EXPORT(CreateFileMappingA, HANDLE)(HANDLE file, void *security, u32 protection, u32 high, u32 low, const char *name)
{
    return create_mapping(file, protection, SIZE_OF_HALVES, name != NULL);
}

typedef struct view {
    void *start;
    size_t size;
    struct view *next;
} View;
static View *views;
static pthread_mutex_t views_lock = PTHREAD_MUTEX_INITIALIZER;

EXPORT(MapViewOfFile, void *)(HANDLE handle, u32 access, u32 high, u32 low, size_t size)
{
    Object *mapping = borrow(handle, KIND_MAPPING);
    View *view = mapping ? malloc(sizeof(View)) : NULL;
    if (view == NULL) {
        release(mapping);
        return NULL;
    }
    BOOL copies = access & FILE_MAP_COPY, writes = access & (FILE_MAP_WRITE | FILE_MAP_COPY);
    int native = PROT_READ | (writes ? PROT_WRITE : 0) | (access & FILE_MAP_EXECUTE ? PROT_EXEC : 0);
    size = size ? size : mapping->size - SIZE_OF_HALVES;
    void *start =
        mmap(NULL, size, native, copies ? MAP_PRIVATE : MAP_SHARED, mapping->descriptor, (off_t)SIZE_OF_HALVES);
    release(mapping);
    if (start == MAP_FAILED) {
        fail_errno();
        free(view);
        return NULL;
    }
    pthread_mutex_lock(&views_lock);
    *view = (View){start, size, views};
    views = view;
    pthread_mutex_unlock(&views_lock);
    return start;
}

EXPORT(UnmapViewOfFile, BOOL)(const void *start)
{
    pthread_mutex_lock(&views_lock);
    View **link = &views;
    while (*link && (*link)->start != start) {
        link = &(*link)->next;
    }
    View *view = *link;
    *link = view ? view->next : NULL;
    pthread_mutex_unlock(&views_lock);
    if (view == NULL) {
        return fail(487); /* ERROR_INVALID_ADDRESS */
    }
    munmap(view->start, view->size);
    free(view);
    return 1;
}

EXPORT(FlushViewOfFile, BOOL)(void *start, size_t size) { return msync(start, size, MS_SYNC) == 0 ? 1 : fail_errno(); }

/* Memory: pages and heaps.
   Source: https://learn.microsoft.com/windows/win32/api/memoryapi, heapapi.h, winbase.h (Local*, Global*). */

#include <malloc.h>
#include <sys/mman.h>

#include "windows.h"

/* ---- pages ---- */

enum { PAGE = 0x1000, GRANULARITY = 0x10000 };
enum { MEM_COMMIT = 0x1000, MEM_RESERVE = 0x2000, MEM_DECOMMIT = 0x4000, MEM_RELEASE = 0x8000, MEM_FREE = 0x10000 };
enum {
    MEM_PRIVATE = 0x20000,
    MEM_MAPPED = 0x40000,
    MEM_IMAGE = 0x1000000,
    MEM_TOP_DOWN = 0x100000,
    MEM_RESET = 0x80000
};

/* PAGE_NOACCESS ... and mmap's protections */
static const struct {
    u32 windows;
    int native;
} protections[] = {
    {0x01, PROT_NONE},
    {0x02, PROT_READ},
    {0x04, PROT_READ | PROT_WRITE},
    {0x08, PROT_READ | PROT_WRITE},
    {0x10, PROT_EXEC | PROT_READ},
    {0x20, PROT_READ | PROT_EXEC},
    {0x40, PROT_READ | PROT_WRITE | PROT_EXEC},
    {0x80, PROT_READ | PROT_WRITE | PROT_EXEC},
};

static int
to_native(u32 protection)
{
    for (size_t i = 0; i < sizeof(protections) / sizeof(*protections); i++) {
        if (protections[i].windows == protection) {
            return protections[i].native;
        }
    }
    return -1; /* guard pages, or no caching */
}

static u32
from_native(int native)
{
    native |= native & PROT_WRITE ? PROT_READ : 0;
    for (size_t i = 0; i < sizeof(protections) / sizeof(*protections); i++) {
        if (protections[i].native == native) {
            return protections[i].windows;
        }
    }
    return 0x10;
}

/* Return the start of the page that an address lies in; *size grows to whole pages from there. */
static u8 *
round_to_pages(const void *address, size_t *size)
{
    u8 *first = (u8 *)((uintptr_t)address & ~(uintptr_t)(PAGE - 1));
    *size = (*size + (size_t)((const u8 *)address - first) + PAGE - 1) & ~(size_t)(PAGE - 1);
    return first;
}

typedef struct region {
    u8 *start;
    size_t size;
    struct region *next;
} Region;

static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;
static Region *regions; /* what VirtualAlloc reserved */

static Region **
find_region(const void *address)
{
    for (Region **link = &regions; *link; link = &(*link)->next) {
        if ((u8 *)address >= (*link)->start && (u8 *)address < (*link)->start + (*link)->size) {
            return link;
        }
    }
    return NULL;
}

/* Reserve pages at a multiple of 64 KiB, as Windows does. */
static u8 *
reserve(void *wanted, size_t size)
{
    if (wanted != NULL) {
        u8 *start = (u8 *)((uintptr_t)wanted & ~(uintptr_t)(GRANULARITY - 1));
        u8 *memory =
            mmap(start, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
        if (memory != start && memory != MAP_FAILED) { /* a kernel before 4.17 takes the address as a hint */
            munmap(memory, size);
        }
        return memory == start ? memory : NULL;
    }
    u8 *memory = mmap(NULL, size + GRANULARITY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    u8 *start = (u8 *)(((uintptr_t)memory + GRANULARITY - 1) & ~(uintptr_t)(GRANULARITY - 1));
    if (start > memory) {
        munmap(memory, (size_t)(start - memory));
    }
    munmap(start + size, (size_t)(memory + GRANULARITY - start));
    return start;
}

static Region *
add_region(void *wanted, size_t size)
{
    Region *region = malloc(sizeof(Region));
    u8 *start = region ? reserve(wanted, size) : NULL;
    if (start == NULL) {
        free(region);
        return NULL;
    }
    *region = (Region){start, size, regions};
    regions = region;
    return region;
}

static void *
allocate_pages(void *wanted, size_t size, u32 kind, int native)
{
    u8 *first = round_to_pages(wanted, &size);
    Region **found = wanted ? find_region(wanted) : NULL;
    if (found == NULL || kind & MEM_RESERVE) {
        Region *region = found ? NULL : add_region(wanted, size);
        if (region == NULL) {
            return NULL;
        }
        first = wanted ? first : region->start;
        found = &region;
        return kind & MEM_COMMIT && mprotect(first, size, native) < 0 ? NULL : region->start;
    }
    BOOL inside = first + size <= (*found)->start + (*found)->size;
    return inside && mprotect(first, size, native) == 0 ? first : NULL;
}

EXPORT(VirtualAlloc, void *)(void *wanted, size_t size, u32 kind, u32 protection)
{
    int native = to_native(protection);
    if (size == 0 || native < 0 || kind & ~(u32)(MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN) ||
        !(kind & (MEM_COMMIT | MEM_RESERVE))) {
        fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    pthread_mutex_lock(&regions_lock);
    void *memory = allocate_pages(wanted, size, kind, native);
    pthread_mutex_unlock(&regions_lock);
    if (memory == NULL) {
        fail(ERROR_NOT_ENOUGH_MEMORY);
    }
    return memory;
}

static BOOL
free_pages(u8 *address, size_t size, u32 kind)
{
    Region **found = find_region(address);
    if (found == NULL) {
        return 0;
    }
    Region *region = *found;
    if (kind == MEM_DECOMMIT) {
        size = size ? size : region->size;
        u8 *first = round_to_pages(address, &size);
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
        return first + size <= region->start + region->size && mmap(first, size, PROT_NONE, flags, -1, 0) == first;
    }
    if (address != region->start || size != 0) {
        return 0;
    }
    *found = region->next;
    munmap(region->start, region->size);
    free(region);
    return 1;
}

EXPORT(VirtualFree, BOOL)(void *address, size_t size, u32 kind)
{
    if (kind != MEM_DECOMMIT && kind != MEM_RELEASE) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    pthread_mutex_lock(&regions_lock);
    BOOL freed = free_pages(address, size, kind);
    pthread_mutex_unlock(&regions_lock);
    return freed ? 1 : fail(ERROR_INVALID_PARAMETER);
}

typedef struct { /* MEMORY_BASIC_INFORMATION */
    u8 *base, *allocation;
    u32 allocation_protection;
    u16 partition;
    size_t size;
    u32 state, protection, kind;
} MemoryInformation;
_Static_assert(sizeof(MemoryInformation) == 48, "the layout of winnt.h");

/* Describe the pages around an address by /proc/self/maps. */
static BOOL
read_map(const u8 *address, MemoryInformation *to)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4352], mode[5];
    unsigned long start = 0, end = 0, before = 0;
    BOOL found = 0;
    while (maps && !found && fgets(line, sizeof(line), maps)) {
        found = sscanf(line, "%lx-%lx %4s", &start, &end, mode) == 3 && end > (uintptr_t)address;
        before = found ? before : end;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    if (!found) {
        return 0;
    }
    BOOL mapped = start <= (uintptr_t)address;
    int native = (mode[0] == 'r') * PROT_READ | (mode[1] == 'w') * PROT_WRITE | (mode[2] == 'x') * PROT_EXEC;
    u8 *base = (u8 *)((uintptr_t)address & ~(uintptr_t)(PAGE - 1));
    *to = (MemoryInformation){.base = base, .size = (mapped ? end : start) - (uintptr_t)base};
    to->state = mapped ? MEM_COMMIT : MEM_FREE;
    to->protection = mapped ? from_native(native) : 1;
    const Image *image = mapped ? find_image(address) : NULL;
    to->allocation = image ? image->base : mapped ? (u8 *)start : NULL;
    to->allocation_protection = image ? 0x80 : to->protection;
    to->kind = !mapped ? 0 : image ? MEM_IMAGE : MEM_PRIVATE;
    return 1;
}

EXPORT(VirtualQuery, size_t)(const void *address, MemoryInformation *to, size_t size)
{
    if (size < sizeof(*to) || !read_map(address, to)) {
        fail(ERROR_INVALID_PARAMETER);
        return 0;
    }
    pthread_mutex_lock(&regions_lock);
    Region **found = find_region(address);
    if (found != NULL) {
        to->allocation = (*found)->start;
        to->state = to->protection == 1 ? MEM_RESERVE : MEM_COMMIT;
    }
    pthread_mutex_unlock(&regions_lock);
    return sizeof(*to);
}

EXPORT(VirtualProtect, BOOL)(void *address, size_t size, u32 protection, u32 *before)
{
    MemoryInformation information;
    int native = to_native(protection);
    if (native < 0 || before == NULL || !read_map(address, &information)) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    u8 *first = round_to_pages(address, &size);
    *before = information.protection;
    return mprotect(first, size, native) == 0 ? 1 : fail_errno();
}

EXPORT(VirtualLock, BOOL)(void *address, size_t size) { return mlock(address, size) == 0 ? 1 : fail_errno(); }
EXPORT(VirtualUnlock, BOOL)(void *address, size_t size) { return munlock(address, size) == 0 ? 1 : fail_errno(); }
EXPORT(FlushInstructionCache, BOOL)(HANDLE process, char *start, size_t size)
{
    __builtin___clear_cache(start, start + size);
    return 1;
}

/* ---- heaps: the process has one, which is malloc's ---- */

enum { HEAP_ZERO_MEMORY = 8, HEAP_REALLOC_IN_PLACE_ONLY = 16 };
#define PROCESS_HEAP ((HANDLE)(uintptr_t)0x10000)

static void
check_heap(HANDLE heap)
{
    if (heap != PROCESS_HEAP) {
        fail_shim("a heap that isn't the process' own");
    }
}

/* Return memory, also for a size of 0. */
static void *
allocate(size_t size, BOOL zeroed)
{
    return zeroed ? calloc(1, size ? size : 1) : malloc(size ? size : 1);
}

EXPORT(GetProcessHeap, HANDLE)(void) { return PROCESS_HEAP; }

EXPORT(HeapAlloc, void *)(HANDLE heap, u32 flags, size_t size)
{
    check_heap(heap);
    return allocate(size, (flags & HEAP_ZERO_MEMORY) != 0);
}

EXPORT(HeapReAlloc, void *)(HANDLE heap, u32 flags, void *memory, size_t size)
{
    check_heap(heap);
    size_t before = malloc_usable_size(memory);
    if (flags & HEAP_REALLOC_IN_PLACE_ONLY) {
        return size <= before ? memory : NULL;
    }
    u8 *larger = realloc(memory, size ? size : 1);
    if (larger != NULL && flags & HEAP_ZERO_MEMORY && size > before) {
        memset(larger + before, 0, size - before);
    }
    return larger;
}

EXPORT(HeapFree, BOOL)(HANDLE heap, u32 flags, void *memory)
{
    check_heap(heap);
    free(memory);
    return 1;
}

EXPORT(HeapSize, size_t)(HANDLE heap, u32 flags, const void *memory)
{
    check_heap(heap);
    return malloc_usable_size((void *)memory);
}

/* LocalAlloc, GlobalAlloc: a movable block never moves, so that its handle is its address. */
enum { ZERO_INITIALIZED = 0x40 };
EXPORT(LocalAlloc, void *)(u32 flags, size_t size) { return allocate(size, (flags & ZERO_INITIALIZED) != 0); }
EXPORT(GlobalAlloc, void *)(u32 flags, size_t size) { return allocate(size, (flags & ZERO_INITIALIZED) != 0); }
EXPORT(LocalFree, void *)(void *block)
{
    free(block);
    return NULL;
}
EXPORT(GlobalFree, void *)(void *block)
{
    free(block);
    return NULL;
}
EXPORT(GlobalLock, void *)(void *block) { return block; }
EXPORT(GlobalUnlock, BOOL)(void *block) { return fail(ERROR_SUCCESS); } /* 0: not locked any more */
EXPORT(GlobalSize, size_t)(void *block) { return malloc_usable_size(block); }

/* A pointer that a module keeps in an encoded form */
EXPORT(EncodePointer, void *)(void *pointer) { return pointer; }
EXPORT(DecodePointer, void *)(void *pointer) { return pointer; }

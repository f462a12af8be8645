/* Mapped memory: flags and advice differ, protections are the same.

   Source: Apple's <sys/mman.h>. */

#include <sys/mman.h>

#include "macos.h"

EXPORT(mmap, void *)(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    const int known =
        AMAP_SHARED | AMAP_PRIVATE | AMAP_FIXED | AMAP_NORESERVE | AMAP_NOCACHE | AMAP_JIT | AMAP_ANON;
    if (flags & ~known) {
        end_unsupported(STATUS_SHIM_FAILED, "mmap() with the flags 0x%x", flags & ~known);
    }
    /* The file of an anonymous mapping may be a tag for Apple's tools. */
    return mmap(address, size, protection,
                (flags & (AMAP_SHARED | AMAP_PRIVATE | AMAP_FIXED)) | (flags & AMAP_NORESERVE ? MAP_NORESERVE : 0) |
                    (flags & AMAP_ANON ? MAP_ANONYMOUS : 0),
                flags & AMAP_ANON ? -1 : file, offset);
}

/* The first five kinds of advice are the same. MADV_FREE_REUSABLE and MADV_FREE_REUSE are about accounting. */
EXPORT(madvise, int)(void *address, size_t size, int advice)
{
    if (advice == AMADV_FREE || advice == AMADV_FREE_REUSABLE) {
        return madvise(address, size, MADV_FREE);
    }
    if (advice == AMADV_FREE_REUSE) {
        return 0;
    }
    if (advice < 0 || advice > AMADV_FREE) {
        end_unsupported(STATUS_SHIM_FAILED, "madvise() with the advice %d", advice);
    }
    return madvise(address, size, advice);
}

EXPORT(msync, int)(void *address, size_t size, int flags)
{
    return msync(address, size, (flags & AMS_ASYNC ? MS_ASYNC : 0) | (flags & AMS_INVALIDATE ? MS_INVALIDATE : 0) |
                                    (flags & AMS_SYNC ? MS_SYNC : 0));
}

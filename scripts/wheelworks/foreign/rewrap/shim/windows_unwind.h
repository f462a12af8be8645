/* What the files of Windows' exceptions have in common: structures of winnt.h for ARM64. */

#ifndef WHEELWORKS_WINDOWS_UNWIND_H
#define WHEELWORKS_WINDOWS_UNWIND_H

#include "windows.h"

typedef struct { /* CONTEXT */
    u32 flags, cpsr;
    u64 x[29];
    u64 fp, lr, sp, pc;
    u64 v[32][2];
    u32 fpcr, fpsr;
    u8 debug[0x390 - 0x318];
} __attribute__((aligned(16))) Context;
_Static_assert(offsetof(Context, fp) == 0xF0 && offsetof(Context, v) == 0x110 && sizeof(Context) == 0x390, "winnt.h");

typedef struct exception_record { /* EXCEPTION_RECORD */
    u32 code, flags;
    struct exception_record *cause;
    void *address;
    u32 count;
    u64 information[15];
} ExceptionRecord;
_Static_assert(sizeof(ExceptionRecord) == 0x98, "winnt.h");

enum {
    EXCEPTION_NONCONTINUABLE = 1,
    EXCEPTION_UNWINDING = 2,
    EXCEPTION_EXIT_UNWIND = 4,
    EXCEPTION_TARGET_UNWIND = 0x20,
};
#define STATUS_UNWIND_CONSOLIDATE 0x80000029u
#define CXX_EXCEPTION 0xE06D7363u /* "msc" */

typedef enum { CONTINUE_EXECUTION, CONTINUE_SEARCH, NESTED_EXCEPTION, COLLIDED_UNWIND } Disposition;

typedef struct { /* registers that a function keeps for its caller: x19 to x29, d8 to d15 */
    u64 general[11], vector[8];
} Nonvolatile;

struct dispatcher_context;
typedef Disposition LanguageHandler(ExceptionRecord *, u64 frame, Context *, struct dispatcher_context *);

typedef struct dispatcher_context { /* DISPATCHER_CONTEXT */
    u64 control_pc;
    u8 *image_base;
    const RuntimeFunction *function;
    u64 frame; /* the establisher frame: the stack pointer of the function's caller */
    u64 target_pc;
    Context *context;
    LanguageHandler *handler;
    void *handler_data;
    void *history;
    u32 scope_index;
    u8 pc_is_unwound;
    Nonvolatile *registers; /* as they are in the function */
} DispatcherContext;
_Static_assert(offsetof(DispatcherContext, handler_data) == 0x38 && offsetof(DispatcherContext, registers) == 0x50,
               "winnt.h");

/* A function that runs in place of frames that have been unwound: a catch block. A walk of the stack that comes to where
   it was called goes on at `context`, in the function that the block belongs to. */
typedef struct active {
    Context context;
    u64 frame;   /* the establisher frame that the block was given */
    int try_low; /* the state of the try block, or -2 where a module's own run-time runs the block */
    ExceptionRecord *caught;
    ExceptionRecord *before; /* the current exception outside of the block */
    struct active *outer;
} Active;

/* Where a walk of the stack is. */
typedef struct {
    Context context; /* in the function */
    Active *entered; /* the block through which the walk came to this function, or NULL */
    Active *active;  /* the innermost block that the walk hasn't left */
} Walk;

/* windows_unwind.c: undo one function's prologue */
const RuntimeFunction *find_function(u64 pc, u8 **base);
LanguageHandler *unwind_function(u8 *base, const RuntimeFunction *function, Context *context, void **handler_data);

/* windows_dispatch.c */
extern __thread const Walk *current_walk;           /* of the handler that is being called */
extern __thread ExceptionRecord *current_exception; /* that a catch block handles */
__attribute__((noreturn)) void unwind_to(u64 frame, u64 pc, ExceptionRecord *record, u64 result);
void dispatch(ExceptionRecord *record, Context *context); /* returns where a handler wants the code to go on */
Active *running_block(void);                              /* the innermost block */

/* windows_cxx.c */
void destroy_exception(const ExceptionRecord *record);
const ExceptionRecord *find_thrown(const ExceptionRecord *record); /* what a record of ours consolidates for, or NULL */

/* windows_registers.c: assembly */
u64 call_catch(void *handler, u64 frame, const Nonvolatile *registers); /* its return address marks a catch block */
u64 call_consolidated(u64 (*callback)(ExceptionRecord *), ExceptionRecord *record); /* likewise */
u64 call_funclet(void *function, u64 argument, u64 frame, const Nonvolatile *registers);
__attribute__((noreturn)) void restore_context(const Context *context);
extern const char after_catch[], after_consolidated[];

#endif

/* Structured exception handling: find the function that handles an exception, and unwind to it.

   An exception is dispatched by walking the stack from where it was raised: each function with a handler is asked. One
   that accepts it calls RtlUnwindEx, which walks again, lets each handler clean up, and goes on in the function.
   Only functions of rewrapped images can be walked: a walk that comes to Python or glibc ends the process.
   Source: https://learn.microsoft.com/cpp/build/arm64-exception-handling; winnt.h. */

#include "windows_unwind.h"

__thread const Walk *current_walk;
__thread ExceptionRecord *current_exception;
static __thread Active *innermost; /* the block that runs now */

typedef struct raised {
    Context *context;
    struct raised *outer;
} Raised;
static __thread Raised *dispatching; /* where the exception was raised that is being handled now */

/* ---- walking ---- */

/* One step: `dispatcher` describes the function that the walk is in, and `next` is in its caller. 0 at the end. */
static BOOL
step(Walk *walk, Walk *next, DispatcherContext *dispatcher, Nonvolatile *registers)
{
    Context *context = &walk->context;
    walk->entered = NULL;
    while (context->pc == (u64)after_catch || context->pc == (u64)after_consolidated) {
        if (walk->active == NULL) {
            return 0;
        }
        walk->entered = walk->active;
        *context = walk->active->context;
        walk->active = walk->active->outer;
    }
    u8 *base;
    const RuntimeFunction *function = find_function(context->pc - 4, &base);
    if (base == NULL || (function == NULL && context->pc == context->lr)) {
        return 0;
    }
    memcpy(registers->general, &context->x[19], 10 * sizeof(u64));
    registers->general[10] = context->fp;
    for (int i = 0; i < 8; i++) {
        registers->vector[i] = context->v[8 + i][0];
    }
    *next = *walk;
    void *data;
    LanguageHandler *handler = unwind_function(base, function, &next->context, &data);
    *dispatcher = (DispatcherContext){.control_pc = context->pc,
                                      .image_base = base,
                                      .function = function,
                                      .frame = next->context.sp,
                                      .context = &next->context,
                                      .handler = handler,
                                      .handler_data = data,
                                      .pc_is_unwound = 1,
                                      .registers = registers};
    return 1;
}

static Disposition
call_handler(const Walk *walk, ExceptionRecord *record, Context *context, DispatcherContext *dispatcher)
{
    const Walk *before = current_walk;
    current_walk = walk;
    Disposition answer = dispatcher->handler(record, dispatcher->frame, context, dispatcher);
    current_walk = before;
    return answer;
}

__attribute__((noreturn)) static void
end_unhandled(const ExceptionRecord *record)
{
    if (record->code == CXX_EXCEPTION) {
        end_unsupported(STATUS_EXCEPTION, "C++ exception on Windows that no function of the module handles");
    }
    end_unsupported(STATUS_EXCEPTION, "exception 0x%08x on Windows that no function of the module handles",
                    record->code);
}

void
dispatch(ExceptionRecord *record, Context *context)
{
    Raised raised = {context, dispatching};
    Walk walk = {*context, NULL, innermost}, next;
    DispatcherContext dispatcher;
    Nonvolatile registers;
    dispatching = &raised;
    while (step(&walk, &next, &dispatcher, &registers)) {
        if (dispatcher.handler != NULL) {
            Disposition answer = call_handler(&walk, record, context, &dispatcher);
            if (answer == CONTINUE_EXECUTION && !(record->flags & EXCEPTION_NONCONTINUABLE)) {
                dispatching = raised.outer;
                restore_context(context);
            }
            if (answer != CONTINUE_SEARCH) {
                break;
            }
        }
        walk = next;
    }
    end_unhandled(record);
}

CALLED_BY_ASSEMBLY void
raise_exception(u32 code, u32 flags, u32 count, const u64 *arguments, Context *context)
{
    ExceptionRecord record = {.code = code, .flags = flags & EXCEPTION_NONCONTINUABLE, .address = (void *)context->pc};
    record.count = arguments == NULL ? 0 : count > 15 ? 15 : count;
    memcpy(record.information, arguments, record.count * sizeof(u64));
    dispatch(&record, context);
}

/* ---- unwinding ---- */

/* Forget what ran below the stack pointer `sp`: it is gone. `kept` is the exception that is under way. */
static void
leave_blocks(u64 sp, const ExceptionRecord *kept)
{
    while (innermost != NULL && (u64)innermost < sp) {
        Active *left = innermost;
        innermost = left->outer;
        if (left->try_low > -2) {
            current_exception = left->before;
            BOOL thrown_again = kept && left->caught && kept->information[1] == left->caught->information[1];
            if (left->caught != NULL && !thrown_again) {
                destroy_exception(left->caught);
            }
        }
    }
    while (dispatching != NULL && (u64)dispatching < sp) {
        dispatching = dispatching->outer;
    }
}

/* Call the function of the record in place of the frames that are gone, and go on where it says. */
__attribute__((noreturn)) static void
consolidate(ExceptionRecord *record, const Walk *walk, u64 frame)
{
    Active block = {.context = walk->context, .frame = frame, .try_low = -2, .outer = walk->active};
    leave_blocks(walk->context.sp, find_thrown(record));
    innermost = &block;
    u64 pc = call_consolidated((u64 (*)(ExceptionRecord *))record->information[0], record);
    innermost = block.outer;
    leave_blocks(block.context.sp, NULL);
    block.context.pc = pc;
    restore_context(&block.context);
}

__attribute__((noreturn)) static void
unwind_through(Context *start, u64 frame, u64 pc, ExceptionRecord *record, u64 result)
{
    Walk walk = {*start, NULL, innermost}, next;
    DispatcherContext dispatcher;
    Nonvolatile registers;
    while (step(&walk, &next, &dispatcher, &registers)) {
        BOOL is_target = dispatcher.frame == frame;
        record->flags |= EXCEPTION_UNWINDING | (is_target ? EXCEPTION_TARGET_UNWIND : 0);
        dispatcher.target_pc = pc;
        if (dispatcher.handler != NULL) {
            call_handler(&walk, record, &walk.context, &dispatcher);
        }
        if (is_target) {
            if (record->code == STATUS_UNWIND_CONSOLIDATE && record->count > 0) {
                consolidate(record, &walk, frame);
            }
            walk.context.x[0] = result;
            walk.context.pc = pc;
            leave_blocks(walk.context.sp, NULL);
            restore_context(&walk.context);
        }
        walk = next;
    }
    end_unhandled(record);
}

void
unwind_to(u64 frame, u64 pc, ExceptionRecord *record, u64 result)
{
    unwind_through(dispatching->context, frame, pc, record, result);
}

/* RtlUnwindEx: a handler's call starts where the exception was raised: the frames of this shim can't be walked. */
CALLED_BY_ASSEMBLY void
unwind_from(u64 frame, u64 pc, ExceptionRecord *record, u64 result, Context *to, void *history, Context *context)
{
    ExceptionRecord none = {.code = 0xC0000027}; /* STATUS_UNWIND */
    unwind_through(dispatching ? dispatching->context : context, frame, pc, record ? record : &none, result);
}

/* ---- __try, __except and __finally of C: one table of scopes for a function ---- */

typedef struct {
    u32 begin, end, handler, target; /* target 0: a __finally block; handler 1: a filter that accepts everything */
} Scope;

typedef struct {
    ExceptionRecord *record;
    Context *context;
} ExceptionPointers;

static Disposition
ask_scope(const Scope *scope, ExceptionRecord *record, Context *context, DispatcherContext *dispatcher)
{
    u8 *base = dispatcher->image_base;
    ExceptionPointers pointers = {record, context};
    int answer = scope->handler == 1 ? 1
                                     : (int)call_funclet(base + scope->handler, (u64)&pointers, dispatcher->frame,
                                                         dispatcher->registers);
    if (answer > 0) {
        unwind_to(dispatcher->frame, (u64)base + scope->target, record, record->code);
    }
    return answer < 0 ? CONTINUE_EXECUTION : CONTINUE_SEARCH;
}

EXPORT(__C_specific_handler, Disposition)
(ExceptionRecord *record, u64 frame, Context *context, DispatcherContext *dispatcher)
{
    const u32 *table = dispatcher->handler_data;
    const Scope *scopes = (const Scope *)(table + 1);
    u32 pc = (u32)(dispatcher->control_pc - 4 - (u64)dispatcher->image_base);
    u32 target = (u32)(dispatcher->target_pc - (u64)dispatcher->image_base);
    BOOL unwinds = (record->flags & (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)) != 0;
    for (; dispatcher->scope_index < *table; dispatcher->scope_index++) {
        const Scope *scope = &scopes[dispatcher->scope_index];
        if (pc < scope->begin || pc >= scope->end) {
            continue;
        }
        if (!unwinds && scope->target != 0) {
            Disposition answer = ask_scope(scope, record, context, dispatcher);
            if (answer != CONTINUE_SEARCH) {
                return answer;
            }
        } else if (unwinds && scope->target == 0) {
            call_funclet(dispatcher->image_base + scope->handler, 1, frame, dispatcher->registers);
        } else if (unwinds && record->flags & EXCEPTION_TARGET_UNWIND && scope->target == target) {
            break; /* scopes around the target stay */
        }
    }
    return CONTINUE_SEARCH;
}

Active *
running_block(void)
{
    return innermost;
}

/* ---- filters of the process: an exception that nobody handles ends it here, so that none is ever asked ---- */

typedef int ExceptionFilter(ExceptionPointers *);
static ExceptionFilter *process_filter;

EXPORT(SetUnhandledExceptionFilter, ExceptionFilter *)(ExceptionFilter *filter)
{
    ExceptionFilter *before = process_filter;
    process_filter = filter;
    return before;
}

EXPORT(UnhandledExceptionFilter, int)(const ExceptionPointers *pointers)
{
    end_unsupported(STATUS_EXCEPTION, "an unhandled exception on Windows");
}

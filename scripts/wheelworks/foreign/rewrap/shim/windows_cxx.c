/* C++ exceptions of Microsoft's compiler: throwing, catching, and the destructors on the way.

   The compiler describes each function by a FuncInfo: a map from addresses to states, what to call when a state is
   left, and the try blocks by the states that they span. Addresses are relative to the image. A catch block is a function
   of its own that runs with the registers of the one that it belongs to; it returns the address to go on at.
   Source: the structures are those of ehdata.h, ehdata_forceinclude.h (Visual C++), "FH3". */

#include "windows_unwind.h"

enum { MAGIC = 0x19930522, NO_STATE = -1, NOEXCEPT = 4 };

typedef struct {
    u32 magic; /* and flags in the upper three bits */
    int states;
    u32 unwind_map;
    u32 tries;
    u32 try_map;
    u32 addresses;
    u32 address_map;
    int unwind_help;
    u32 specification;
    u32 flags;
} FuncInfo;

typedef struct {
    int to_state;
    u32 action;
} UnwindEntry;

typedef struct {
    int low, high, catch_high;
    int catches;
    u32 handlers;
} TryBlock;

typedef struct {
    u32 adjectives, type;
    int object; /* where the caught object goes, relative to the establisher frame; 0: nowhere */
    u32 handler;
    int frame;
} Handler;

typedef struct {
    u32 address;
    int state;
} AddressEntry;

typedef struct {
    const void *table;
    void *spare;
    char name[];
} TypeDescriptor;

typedef struct {
    int member, base_table, base_index; /* how to find a base class: PMD */
} Adjustment;

typedef struct {
    u32 properties, type;
    Adjustment adjustment;
    u32 size, copy;
} CatchableType;

typedef struct {
    u32 attributes, destructor, compatible, types;
} ThrowInfo;

EXPORT(terminate, void)(void) { end_unsupported(STATUS_EXCEPTION, "C++ code on Windows called std::terminate"); }
EXPORT(__std_terminate, void)(void) { w_terminate(); }

/* ---- throwing ---- */

enum { OBJECT = 1, INFORMATION = 2, IMAGE = 3 }; /* indices of a record's information; 0 has a number of the version */
#define VERSION_NUMBER 0x19930520u

static __thread int uncaught; /* exceptions that were thrown, and that no catch block has got yet */

CALLED_BY_ASSEMBLY void
throw_exception(void *object, const ThrowInfo *information, Context *context)
{
    ExceptionRecord record = {.code = CXX_EXCEPTION, .flags = EXCEPTION_NONCONTINUABLE, .count = 4};
    record.address = (void *)context->pc;
    if (information == NULL && current_exception != NULL) { /* throw; */
        memcpy(record.information, current_exception->information, sizeof(record.information));
    } else {
        const Image *image = find_image(information);
        record.information[0] = VERSION_NUMBER;
        record.information[OBJECT] = (u64)object;
        record.information[INFORMATION] = (u64)information;
        record.information[IMAGE] = image ? (u64)image->base : 0;
    }
    uncaught++;
    dispatch(&record, context);
}

void
destroy_exception(const ExceptionRecord *record)
{
    const ThrowInfo *information = (const ThrowInfo *)record->information[INFORMATION];
    if (record->code == CXX_EXCEPTION && information && information->destructor) {
        ((void (*)(void *))(record->information[IMAGE] + information->destructor))((void *)record->information[OBJECT]);
    }
}

/* ---- which catch block fits ---- */

enum { IS_CONST = 1, IS_VOLATILE = 2, IS_UNALIGNED = 4, IS_REFERENCE = 8 }; /* adjectives and attributes */
enum { SIMPLE_TYPE = 1, BY_REFERENCE_ONLY = 2, HAS_VIRTUAL_BASE = 4 };      /* properties */

static BOOL
is_same_type(const TypeDescriptor *a, const TypeDescriptor *b)
{
    return a == b || strcmp(a->name, b->name) == 0;
}

/* The type of the exception that a catch block takes, NULL if none; catch (...) takes the first one. */
static const CatchableType *
find_type(const Handler *handler, u8 *base, const ExceptionRecord *record)
{
    const ThrowInfo *information = (const ThrowInfo *)record->information[INFORMATION];
    u64 image = record->information[IMAGE];
    const u32 *types = (const u32 *)(image + information->types);
    const TypeDescriptor *wanted = (const TypeDescriptor *)(base + handler->type);
    if (handler->type == 0 || wanted->name[0] == 0) {
        return (const CatchableType *)(image + types[1]);
    }
    u32 lost = information->attributes & (IS_CONST | IS_VOLATILE | IS_UNALIGNED) & ~handler->adjectives;
    for (u32 i = 1; i <= types[0] && lost == 0; i++) {
        const CatchableType *type = (const CatchableType *)(image + types[i]);
        BOOL fits = !(type->properties & BY_REFERENCE_ONLY) || handler->adjectives & IS_REFERENCE;
        if (fits && is_same_type(wanted, (const TypeDescriptor *)(image + type->type))) {
            return type;
        }
    }
    return NULL;
}

static char *
adjust(char *object, const Adjustment *adjustment)
{
    char *base = object + adjustment->member;
    if (adjustment->base_table >= 0) { /* a virtual base: its offset is in the object's table of bases */
        const char *table = *(const char **)(object + adjustment->base_table);
        base += adjustment->base_table + *(const int *)(table + adjustment->base_index);
    }
    return base;
}

/* Give the catch block its object: a reference, a pointer, or a copy. */
static void
build_object(const Handler *handler, const CatchableType *type, u64 frame, const ExceptionRecord *record)
{
    char *object = (char *)record->information[OBJECT];
    if (handler->type == 0 || handler->object == 0) {
        return;
    }
    char *to = (char *)frame + handler->object;
    char *copy = (char *)record->information[IMAGE] + type->copy;
    if (handler->adjectives & IS_REFERENCE) {
        *(char **)to = adjust(object, &type->adjustment);
    } else if (type->properties & SIMPLE_TYPE) {
        memcpy(to, object, type->size);
        if (type->size == sizeof(char *) && *(char **)to != NULL) { /* a pointer to a class */
            *(char **)to = adjust(*(char **)to, &type->adjustment);
        }
    } else if (type->copy == 0) {
        memcpy(to, adjust(object, &type->adjustment), type->size);
    } else if (type->properties & HAS_VIRTUAL_BASE) {
        ((void (*)(void *, void *, int))copy)(to, adjust(object, &type->adjustment), 1);
    } else {
        ((void (*)(void *, void *))copy)(to, adjust(object, &type->adjustment));
    }
}

/* ---- states ---- */

/* What a handler was asked about: one function on the stack. */
typedef struct {
    u8 *base;
    const FuncInfo *information;
    const TryBlock *tries;
    const TryBlock *owner; /* the try block whose catch block this function is, or NULL */
    u64 frame;             /* the establisher frame of the function with the try block */
    int state;
    u32 first; /* the first try block that may handle an exception */
    Nonvolatile *registers;
} Frame;

static int
find_state(const Frame *frame, u64 pc)
{
    const AddressEntry *map = (const AddressEntry *)(frame->base + frame->information->address_map);
    u32 address = (u32)(pc - 4 - (u64)frame->base); /* the call, not where it returns to */
    int state = NO_STATE;
    for (u32 i = 0; i < frame->information->addresses && map[i].address <= address; i++) {
        state = map[i].state;
    }
    return state;
}

static const TryBlock *
find_owner(const Frame *frame, u32 function)
{
    for (u32 i = 0; i < frame->information->tries; i++) {
        const Handler *handlers = (const Handler *)(frame->base + frame->tries[i].handlers);
        for (int j = 0; j < frame->tries[i].catches; j++) {
            if (handlers[j].handler == function) {
                return &frame->tries[i];
            }
        }
    }
    return NULL;
}

static Frame
describe(u64 establisher, const DispatcherContext *dispatcher)
{
    Frame frame = {.base = dispatcher->image_base, .frame = establisher, .registers = dispatcher->registers};
    frame.information = (const FuncInfo *)(frame.base + *(const u32 *)dispatcher->handler_data);
    if ((frame.information->magic & 0x1FFFFFFF) < VERSION_NUMBER || (frame.information->magic & 0x1FFFFFFF) > MAGIC) {
        end_unsupported(STATUS_EXCEPTION, "C++ exception on Windows (tables of another version)");
    }
    frame.tries = (const TryBlock *)(frame.base + frame.information->try_map);
    frame.owner = find_owner(&frame, dispatcher->function->begin);
    if (frame.owner != NULL && current_walk->active != NULL) {
        frame.frame = current_walk->active->frame;
    }
    frame.state = find_state(&frame, dispatcher->control_pc);
    if (current_walk->entered != NULL && current_walk->entered->try_low > -2) { /* it runs a catch block */
        frame.state = current_walk->entered->try_low;
        while (frame.first < frame.information->tries && frame.tries[frame.first].low != frame.state) {
            frame.first++;
        }
        frame.first++; /* inner try blocks come first: those behind it are around it */
    }
    return frame;
}

/* Leave states down to `target`: destructors of what has been constructed. */
static void
leave_states(const Frame *frame, int target)
{
    const UnwindEntry *map = (const UnwindEntry *)(frame->base + frame->information->unwind_map);
    int state = frame->state;
    while (state > target && state < frame->information->states) {
        const UnwindEntry *entry = &map[state];
        if (entry->action != 0) {
            call_funclet(frame->base + entry->action, 0, frame->frame, frame->registers);
        }
        if (entry->to_state >= state) {
            break;
        }
        state = entry->to_state;
    }
}

/* ---- catching ---- */

enum {
    BLOCK = 2,
    TRY_LOW = 3,
    THROWN = 4,
    REGISTERS = 5,
    ESTABLISHER = 6,
    COUNT = 7
}; /* of the consolidating record */

/* Run the catch block, on top of the frames that are gone; returns where to go on. */
static u64
run_block(ExceptionRecord *record)
{
    Active *block = running_block();
    ExceptionRecord *thrown = (ExceptionRecord *)record->information[THROWN];
    block->try_low = (int)record->information[TRY_LOW];
    block->frame = record->information[ESTABLISHER];
    block->caught = thrown;
    block->before = current_exception;
    current_exception = thrown;
    uncaught--;
    u64 pc =
        call_catch((void *)record->information[BLOCK], block->frame, (Nonvolatile *)record->information[REGISTERS]);
    current_exception = block->before;
    destroy_exception(thrown);
    return pc;
}

const ExceptionRecord *
find_thrown(const ExceptionRecord *record)
{
    return record->information[0] == (u64)run_block ? (const ExceptionRecord *)record->information[THROWN] : NULL;
}

__attribute__((noreturn)) static void
catch_exception(const Frame *frame, const TryBlock *block, const Handler *handler, ExceptionRecord *record, u64 target)
{
    Nonvolatile registers = *frame->registers; /* the walk to come uses the same memory again */
    ExceptionRecord consolidating = {
        .code = STATUS_UNWIND_CONSOLIDATE, .flags = EXCEPTION_NONCONTINUABLE, .count = COUNT};
    consolidating.information[0] = (u64)run_block;
    consolidating.information[BLOCK] = (u64)frame->base + handler->handler;
    consolidating.information[TRY_LOW] = (u64)(int64_t)block->low;
    consolidating.information[THROWN] = (u64)record;
    consolidating.information[REGISTERS] = (u64)&registers;
    consolidating.information[ESTABLISHER] = frame->frame;
    unwind_to(target, 0, &consolidating, 0);
}

static void
search(const Frame *frame, ExceptionRecord *record, u64 target)
{
    for (u32 i = frame->first; i < frame->information->tries; i++) {
        const TryBlock *block = &frame->tries[i];
        BOOL inside = block->low <= frame->state && frame->state <= block->high;
        /* A catch block handles what its own try blocks catch; those around it belong to the function's frame. */
        BOOL own = frame->owner == NULL || (block->low > frame->owner->high && block->low <= frame->owner->catch_high);
        const Handler *handlers = (const Handler *)(frame->base + block->handlers);
        for (int j = 0; inside && own && j < block->catches; j++) {
            const CatchableType *type = find_type(&handlers[j], frame->base, record);
            if (type != NULL) {
                build_object(&handlers[j], type, frame->frame, record);
                catch_exception(frame, block, &handlers[j], record, target);
            }
        }
    }
}

EXPORT(__CxxFrameHandler3, Disposition)
(ExceptionRecord *record, u64 establisher, Context *context, DispatcherContext *dispatcher)
{
    Frame frame = describe(establisher, dispatcher);
    if (record->flags & (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)) {
        BOOL is_target = record->code == STATUS_UNWIND_CONSOLIDATE && record->flags & EXCEPTION_TARGET_UNWIND;
        int target = frame.owner ? frame.owner->high : NO_STATE;
        leave_states(&frame, is_target ? (int)record->information[TRY_LOW] : target);
    } else if (record->code == CXX_EXCEPTION && record->information[INFORMATION] != 0) {
        search(&frame, record, establisher);
        if (frame.information->flags & NOEXCEPT && frame.owner == NULL) {
            w_terminate();
        }
    }
    return CONTINUE_SEARCH;
}

EXPORT(__CxxFrameHandler4, Disposition)
(ExceptionRecord *record, u64 establisher, Context *context, DispatcherContext *dispatcher)
{
    end_unsupported(STATUS_EXCEPTION, "C++ exception on Windows (tables of __CxxFrameHandler4)");
}

/* ---- what the C++ library asks of the run-time ---- */

EXPORT(__AdjustPointer, void *)(void *object, const Adjustment *adjustment)
{
    return object ? adjust(object, adjustment) : NULL;
}

EXPORT(__current_exception, ExceptionRecord **)(void) { return &current_exception; }
EXPORT(__current_exception_context, void **)(void)
{
    static __thread void *context;
    return &context;
}
EXPORT(__uncaught_exception, BOOL)(void) { return uncaught > 0; }
EXPORT(__uncaught_exceptions, int)(void) { return uncaught; }

typedef struct { /* std::exception's text */
    char *what;
    u8 owned;
} ExceptionText;

EXPORT(__std_exception_copy, void)(const ExceptionText *from, ExceptionText *to)
{
    char *copy = from->owned && from->what ? strdup(from->what) : NULL;
    *to = copy ? (ExceptionText){copy, 1} : (ExceptionText){from->owned ? NULL : from->what, 0};
}

EXPORT(__std_exception_destroy, void)(ExceptionText *text)
{
    if (text->owned) {
        free(text->what);
    }
    *text = (ExceptionText){NULL, 0};
}

EXPORT(_purecall, void)(void)
{
    fputs("a pure virtual function was called\n", stderr);
    abort();
}

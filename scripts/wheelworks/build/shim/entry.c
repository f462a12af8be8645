/* The entry point of a Windows extension that is linked without a C runtime, whose work it does: call the functions that
 * the compiler listed to be called before any other (constructors, static initialisers of C++) and at the end.
 *
 * Each kind of object file has its own lists. Those for MinGW have the sections .ctors and .dtors, which the linker
 * puts between -1 and 0 (__CTOR_LIST__, __DTOR_LIST__). Those for Microsoft's compiler have .CRT$XIB to .CRT$XIY
 * (functions that return an error, or 0) and .CRT$XCB to .CRT$XCY: the linker sorts sections by the part after "$", so
 * that the sections below come first and last.
 */
typedef void (*function)(void);
typedef int (*initializer)(void);

#define LIST_EDGE(type, name, section_name) __attribute__((section(section_name), used)) static const type name = 0
LIST_EDGE(initializer, first_initializer, ".CRT$XIA");
LIST_EDGE(initializer, last_initializer, ".CRT$XIZ");
LIST_EDGE(function, first_constructor, ".CRT$XCA");
LIST_EDGE(function, last_constructor, ".CRT$XCZ");

extern const function __CTOR_LIST__[], __DTOR_LIST__[];

/* 32-bit x86 decorates the names of functions; the linker is given this one. */
#ifdef __i386__
#define ENTRY_NAME "_wheelworks_entry"
#else
#define ENTRY_NAME "wheelworks_entry"
#endif

enum { PROCESS_DETACH = 0, PROCESS_ATTACH = 1 };

#ifdef HAS_DLLMAIN
int __stdcall DllMain(void *library, unsigned long reason, void *reserved);
#endif

/* Return 0 if an initializer fails. The compiler must not assume that two variables are never neighbors. */
static int
run_constructors(void)
{
    const initializer *volatile initializers = &first_initializer;
    const initializer *volatile initializers_end = &last_initializer;
    for (const initializer *one = initializers; one < initializers_end; one++) {
        if (*one && (*one)() != 0) {
            return 0;
        }
    }
    const function *volatile constructors = &first_constructor;
    const function *volatile constructors_end = &last_constructor;
    for (const function *one = constructors; one < constructors_end; one++) {
        if (*one) {
            (*one)();
        }
    }
    const function *last = __CTOR_LIST__ + 1;
    while (*last) {
        last++;
    }
    while (--last > __CTOR_LIST__) { /* GCC's order: the last of the list first */
        (*last)();
    }
    return 1;
}

/* Windows calls it when it has loaded the library, with its imports bound, when it unloads it, and for each thread. */
int __stdcall wheelworks_entry(void *library, unsigned long reason, void *reserved) __asm__(ENTRY_NAME);

int __stdcall
wheelworks_entry(void *library, unsigned long reason, void *reserved)
{
    int result = 1;
    if (reason == PROCESS_ATTACH) {
        result = run_constructors();
    }
#ifdef HAS_DLLMAIN
    result = result && DllMain(library, reason, reserved);
#else
    (void)library;
    (void)reserved;
#endif
    if (reason == PROCESS_DETACH) {
        for (const function *one = __DTOR_LIST__ + 1; *one; one++) {
            (*one)();
        }
    }
    return result;
}

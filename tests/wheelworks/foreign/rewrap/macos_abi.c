/* A module for the differences between the binary interfaces of macOS and Linux: each case is a function right_NAME,
   whose result is the one of a Python on macOS, and a function wrong_NAME with a seeded fault. */

#include "abi_cases.h"

#include <ctype.h>
#include <dirent.h>
#include <dispatch/dispatch.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <os/lock.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- variadic functions: doubles, ints and longs in turn ---- */

CASE(right_parse)
{
    int i, last;
    double d, e, f;
    long l;
    const char *text;
    unsigned long k;
    if (!PyArg_ParseTuple(args, "idlsdkdi", &i, &d, &l, &text, &e, &k, &f, &last)) {
        return NULL;
    }
    return Py_BuildValue("(idlsdkdi)", i, d, l, text, e, k, f, last);
}

CASE(wrong_parse) /* two targets are swapped */
{
    int i, last;
    double d, e, f;
    long l;
    const char *text;
    unsigned long k;
    if (!PyArg_ParseTuple(args, "idlsdkdi", &i, &e, &l, &text, &d, &k, &f, &last)) {
        return NULL;
    }
    return Py_BuildValue("(idlsdkdi)", i, d, l, text, e, k, f, last);
}

/* The arguments are passed as if the function weren't variadic: in registers, where Apple's ARM64 doesn't look. */
typedef PyObject *NotVariadic(const char *, long, long);
CASE(wrong_build) { return ((NotVariadic *)(void *)Py_BuildValue)("(ll)", 0x123456789, 0x123456789); }

CASE(wrong_format) /* two arguments in the wrong order */
{
    return PyErr_Format(PyExc_ValueError, "%d %ld %s %lu %lld %zd", -1, -5L, "three", 4UL, -2LL, (Py_ssize_t)6);
}

CASE(right_snprintf)
{
    char text[200];
    snprintf(text, sizeof(text), "%d %.3f %ld %s %.2Lf %lu %*d %g", 1, 2.5, -3L, "four", (long double)5.25, 6UL, 4, 7,
             8.5);
    return PyUnicode_FromString(text);
}

CASE(wrong_snprintf) /* the order of two arguments */
{
    char text[200];
    snprintf(text, sizeof(text), "%d %.3f %ld %s %.2Lf %lu %*d %g", 1, 2.5, 6L, "four", (long double)5.25, -3UL, 7, 4,
             8.5);
    return PyUnicode_FromString(text);
}

CASE(right_scanf)
{
    long double ld;
    double d;
    int i;
    int count = sscanf("7 2.5 -3.25", "%d %lf %Lf", &i, &d, &ld);
    return Py_BuildValue("(iidd)", count, i, d, (double)ld);
}

CASE(wrong_scanf) /* a double read as a float */
{
    double d = 0;
    int i;
    int count = sscanf("7 2.5", "%d %f", &i, (float *)&d);
    return Py_BuildValue("(iid)", count, i, d);
}

CASE(right_calls)
{
    PyObject *text = PyUnicode_FromString("a-b-c"), *dash = PyUnicode_FromString("-");
    PyObject *join = PyUnicode_FromString("split");
    PyObject *one = PyObject_CallMethod(text, "split", "si", "-", 1);
    PyObject *two = PyObject_CallMethodObjArgs(text, join, dash, NULL);
    PyObject *three = PyObject_CallFunction((PyObject *)&PyComplex_Type, "dd", 1.5, -2.5);
    PyObject *four = PyObject_CallFunctionObjArgs((PyObject *)&PyList_Type, text, NULL);
    PyObject *five = PyTuple_Pack(10, text, dash, text, dash, text, dash, text, dash, text, dash);
    Py_DecRef(text);
    Py_DecRef(dash);
    Py_DecRef(join);
    return Py_BuildValue("(NNNNN)", one, two, three, four, five);
}

CASE(wrong_calls) { return PyObject_CallMethod(args, "no_such_method", NULL); }

/* ---- numbers: a long has 64 bits ---- */

typedef struct {
    PyObject_HEAD
    long number;
    int guard;
    unsigned long size;
} Members;

static PyMemberDef right_members[] = {{"number", T_LONG, offsetof(Members, number)},
                                      {"guard", T_INT, offsetof(Members, guard)},
                                      {"size", T_ULONG, offsetof(Members, size)},
                                      {NULL}};
static PyMemberDef wrong_members[] = {{"number", T_INT, offsetof(Members, number)}, /* it is a long */
                                      {"guard", T_LONG, offsetof(Members, guard)},  /* it is an int */
                                      {"size", T_UINT, offsetof(Members, size)},
                                      {NULL}};
static PyType_Slot right_number_slots[] = {{Py_tp_members, right_members}, {0, NULL}};
static PyType_Slot wrong_number_slots[] = {{Py_tp_members, wrong_members}, {0, NULL}};
static PyType_Spec right_numbers = {"abi.RightNumbers", sizeof(Members), 0, Py_TPFLAGS_DEFAULT, right_number_slots};
static PyType_Spec wrong_numbers = {"abi.WrongNumbers", sizeof(Members), 0, Py_TPFLAGS_DEFAULT, wrong_number_slots};
CASE(right_members_type) { return PyType_FromSpec(&right_numbers); }
CASE(wrong_members_type) { return PyType_FromSpec(&wrong_numbers); }

CASE(wrong_buffer) { NEGATE_TWO(int); } /* the size of a long on Windows */

/* ---- wchar_t has 32 bits ---- */

CASE(right_wide) { return list_units(args, 4); }
CASE(wrong_wide) { return list_units(args, 2); } /* units of 16 bits */

/* ---- error numbers ---- */

static int
read_empty_pipe(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 || !(fcntl(ends[0], F_GETFL) & O_NONBLOCK)) {
        return -1;
    }
    errno = 0;
    ssize_t count = read(ends[0], &byte, 1);
    int error = count < 0 ? errno : 0;
    close(ends[0]);
    close(ends[1]);
    return error;
}

CASE(right_errno)
{
    int again = read_empty_pipe();
    errno = 0;
    strtol("99999999999999999999999", NULL, 10);
    int range = errno;
    return Py_BuildValue("(iiis)", again, range, EAGAIN == 35 && again == EAGAIN, strerror(ENAMETOOLONG));
}

CASE(wrong_errno)
{
    int again = read_empty_pipe();
    return Py_BuildValue("(iiis)", again, 0, again == 11, strerror(36)); /* Linux's numbers */
}

CASE(right_raise)
{
    errno = EAGAIN;
    return PyErr_SetFromErrno(PyExc_OSError);
}

CASE(wrong_raise)
{
    errno = 11; /* Linux's EAGAIN */
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* ---- files and memory ---- */

static PyObject *
write_and_measure(const char *folder, int flags)
{
    char path[1024];
    struct stat status;
    snprintf(path, sizeof(path), "%s/written", folder);
    int file = open(path, flags, 0640);
    if (file < 0 || write(file, "12345", 5) != 5 || fstat(file, &status) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    close(file);
    int found = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        found += strcmp(entry->d_name, "written") == 0 && entry->d_namlen == 7 && entry->d_type == DT_REG;
    }
    closedir(directory);
    return Py_BuildValue("(LiiO)", (long long)status.st_size, status.st_mode & 0777, found,
                         S_ISREG(status.st_mode) ? Py_True : Py_False);
}

CASE(right_files) { return write_and_measure(PyBytes_AsString(args), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC); }
CASE(wrong_files) { return write_and_measure(PyBytes_AsString(args), O_CREAT | O_APPEND | O_RDWR); } /* isn't emptied */

CASE(right_memory)
{
    size_t size = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    memory[size - 1] = 42;
    int found = memory[size - 1];
    munmap(memory, size);
    return PyLong_FromLong(found);
}

CASE(wrong_memory) /* neither private nor shared */
{
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANON, -1, 0);
    return memory == MAP_FAILED ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(memory[0]);
}

/* ---- texts: inline functions of Apple's <ctype.h> read a table ---- */

CASE(right_ctype)
{
    char kinds[129];
    for (int c = 0; c < 128; c++) {
        kinds[c] = isdigit(c) ? 'd' : isupper(c) ? 'u' : islower(c) ? 'l' : isspace(c) ? 's' : ispunct(c) ? 'p' : '-';
    }
    kinds[128] = 0;
    return Py_BuildValue("(sii)", kinds, toupper('q'), tolower(0xC0));
}

CASE(wrong_ctype) { return Py_BuildValue("(sii)", "", toupper('q') + 1, 0xE0); }

/* ---- thread-local variables ---- */

static _Thread_local int own_counter = 40;
static _Thread_local long own_zeros[100];
static int shared_counter = 40;
CASE(right_thread_local)
{
    own_zeros[99] += 1;
    return PyLong_FromLong(own_counter + own_zeros[99]);
}
CASE(wrong_thread_local) { return PyLong_FromLong(++shared_counter); }

/* ---- constructors ---- */

static int constructed, never_constructed;
__attribute__((constructor)) static void construct(void) { constructed = 42; }
CASE(right_constructor) { return PyLong_FromLong(constructed); }
CASE(wrong_constructor) { return PyLong_FromLong(never_constructed); }

/* ---- threads and locks with static initializers ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static os_unfair_lock unfair = OS_UNFAIR_LOCK_INIT;
static int done, started;

static void start_once(void) { started++; }

static void *
work(void *argument)
{
    pthread_once(&once, start_once);
    pthread_rwlock_rdlock(&lock);
    pthread_rwlock_unlock(&lock);
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *number = PyLong_FromLong(++own_counter); /* its own copy: 41 */
    long value = PyLong_AsLong(number);
    Py_DecRef(number);
    PyGILState_Release(state);
    os_unfair_lock_lock(&unfair);
    pthread_mutex_lock(&mutex);
    *(long *)argument += value;
    done++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    os_unfair_lock_unlock(&unfair);
    return (void *)7L;
}

static PyObject *
run_threads(int wanted)
{
    pthread_t threads[4];
    long sum = 0;
    done = 0;
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, work, &sum);
    }
    long results = 0;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&mutex);
    while (done < wanted) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 4 && wanted == 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        results += (long)result;
    }
    Py_END_ALLOW_THREADS
    for (int i = 0; i < 4 && wanted != 4; i++) {
        pthread_detach(threads[i]);
    }
    return Py_BuildValue("(lli)", wanted == 4 ? sum : 0, results, started);
}

CASE(right_threads) { return run_threads(4); }

CASE(wrong_threads) /* locks a mutex of the plain kind twice: the lock that isn't recursive refuses */
{
    int first = pthread_mutex_lock(&mutex), second = pthread_mutex_trylock(&mutex);
    pthread_mutex_unlock(&mutex);
    return Py_BuildValue("(iii)", first, second, EBUSY);
}

CASE(right_recursive)
{
    int first = pthread_mutex_lock(&recursive), second = pthread_mutex_trylock(&recursive);
    pthread_mutex_unlock(&recursive);
    pthread_mutex_unlock(&recursive);
    return Py_BuildValue("(ii)", first, second);
}

CASE(wrong_recursive) { return wrong_threads(self, args); }

CASE(right_semaphore)
{
    dispatch_semaphore_t semaphore = dispatch_semaphore_create(0);
    long late = dispatch_semaphore_wait(semaphore, dispatch_time(DISPATCH_TIME_NOW, 20000000));
    dispatch_semaphore_signal(semaphore);
    long ready = dispatch_semaphore_wait(semaphore, DISPATCH_TIME_FOREVER);
    dispatch_release(semaphore);
    return Py_BuildValue("(ii)", late != 0, ready != 0);
}

CASE(wrong_semaphore)
{
    dispatch_semaphore_t semaphore = dispatch_semaphore_create(1); /* one too many */
    long late = dispatch_semaphore_wait(semaphore, dispatch_time(DISPATCH_TIME_NOW, 20000000));
    dispatch_release(semaphore);
    return Py_BuildValue("(ii)", late != 0, 0);
}

/* ---- jumps ---- */

static PyObject *
jump(int value)
{
    jmp_buf place;
    volatile int count = 0;
    double volatile kept = 2.5;
    int got = setjmp(place);
    count += 1;
    if (got == 0) {
        longjmp(place, value);
    }
    return Py_BuildValue("(iid)", got, count, kept);
}

CASE(right_jump) { return jump(3); }
CASE(wrong_jump) { return jump(0); } /* becomes 1 */

/* ---- functions by name: those that an import may be bound to, and no others of glibc ---- */

static PyObject *
look_up(const char *name)
{
    double (*scale)(double, int) = (double (*)(double, int))dlsym(RTLD_DEFAULT, name);
    int python = dlsym(RTLD_DEFAULT, "PyList_New") != NULL, other = dlsym(RTLD_DEFAULT, "gnu_get_libc_version") != NULL;
    return Py_BuildValue("(dii)", scale ? scale(0.75, 3) : 0.0, python, other);
}

CASE(right_dlsym) { return look_up("ldexp"); }
CASE(wrong_dlsym) { return look_up("_ldexp"); } /* its name in symbol tables */

static PyMethodDef methods[] = {
    BOTH(parse, METH_VARARGS),      BOTH(build, METH_NOARGS),   BOTH(format, METH_NOARGS),
    BOTH(snprintf, METH_NOARGS),    BOTH(scanf, METH_NOARGS),   BOTH(calls, METH_NOARGS),
    BOTH(errno, METH_NOARGS),       BOTH(raise, METH_NOARGS),   BOTH(files, METH_O),
    BOTH(memory, METH_NOARGS),      BOTH(ctype, METH_NOARGS),   BOTH(thread_local, METH_NOARGS),
    BOTH(constructor, METH_NOARGS), BOTH(capsule, METH_NOARGS), BOTH(threads, METH_NOARGS),
    BOTH(recursive, METH_NOARGS),   BOTH(semaphore, METH_NOARGS), BOTH(jump, METH_NOARGS),
    BOTH(datetime, METH_NOARGS),    BOTH(members_type, METH_NOARGS), BOTH(buffer, METH_O),     BOTH(wide, METH_O),
    BOTH(dlsym, METH_NOARGS),       BOTH(node_type, METH_NOARGS),   {"count_freed", count_freed, METH_NOARGS},
    {NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "abi", NULL, 0, methods};
PyMODINIT_FUNC PyInit_abi(void) { return PyModule_Create(&definition); }

/* A C++ module of macOS: exceptions across frames with destructors, through CPython, and in threads; and the parts of
   libc++ whose layout is Apple's own. Each function returns what a Mac's would. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

#define CASE(name) static PyObject *name(PyObject *self, PyObject *args)
#define NOT_INLINED __attribute__((noinline))

namespace {

std::atomic<int> destroyed;

struct Counted {
    int kept;
    explicit Counted(int number) : kept(number) {}
    ~Counted() { destroyed += kept; }
};

/* Made at a thread's first use of it, destroyed when the thread ends. */
Counted &
find_own()
{
    thread_local Counted own(1000);
    return own;
}

struct Failure : std::runtime_error {
    int code;
    Failure(const std::string &text, int number) : std::runtime_error(text), code(number) {}
};

/* Uses registers that a function must keep, general and floating-point ones: they are restored on the way. */
NOT_INLINED double
descend(int depth, double a, double b, long c, long d)
{
    Counted counted(1);
    if (depth == 0) {
        throw Failure("a text that is too long for the short form of a string", 42);
    }
    double below = descend(depth - 1, a * 1.5, b + 1, c + 3, d * 2);
    return below + a + b + (double)c + (double)d;
}

} // namespace

CASE(catch_below_destructors)
{
    destroyed = 0;
    volatile double a = 2.5, b = 3.5;
    volatile long c = 7, d = 11;
    double before = a * 3 + b;
    long number = c * 1000 + d;
    try {
        descend(20, a, b, c, d);
    }
    catch (const std::exception &error) {
        const Failure *failure = dynamic_cast<const Failure *>(&error);
        return Py_BuildValue("(siidl)", error.what(), failure ? failure->code : -1, destroyed.load(), before, number);
    }
    return PyUnicode_FromString("not caught");
}

CASE(catch_by_type)
{
    std::string found;
    for (int kind = 0; kind < 4; kind++) {
        try {
            if (kind == 0) throw 7;
            if (kind == 1) throw std::out_of_range("range");
            if (kind == 2) std::vector<int>().at(3);
            std::string("abc").substr(9);
        }
        catch (int number) {
            found += std::to_string(number) + ";";
        }
        catch (const std::logic_error &error) {
            found += typeid(error) == typeid(std::out_of_range) ? "out_of_range;" : "another;";
        }
    }
    return PyUnicode_FromString(found.c_str());
}

CASE(rethrow)
{
    destroyed = 0;
    std::exception_ptr kept;
    try {
        Counted counted(10);
        try {
            descend(2, 1, 1, 1, 1);
        }
        catch (...) {
            kept = std::current_exception();
            throw;
        }
    }
    catch (Failure &) {
    }
    try {
        std::rethrow_exception(kept);
    }
    catch (const Failure &failure) {
        return Py_BuildValue("(ii)", failure.code, destroyed.load());
    }
    return PyUnicode_FromString("not caught");
}

CASE(throw_through)
{
    Counted counted(1);
    throw Failure("through CPython", 5);
}

/* The exception passes frames of CPython on its way. */
CASE(catch_through_cpython)
{
    destroyed = 0;
    try {
        Counted counted(100);
        PyObject_CallFunctionObjArgs(args, nullptr);
    }
    catch (const Failure &failure) {
        return Py_BuildValue("(si)", failure.what(), destroyed.load());
    }
    return PyUnicode_FromString("not caught");
}

CASE(catch_in_thread)
{
    std::mutex mutex;
    std::condition_variable changed;
    std::string text;
    bool done = false;
    destroyed = 0;
    std::thread thread([&] {
        find_own();
        try {
            descend(3, 1, 2, 3, 4);
        }
        catch (const Failure &failure) {
            std::lock_guard<std::mutex> hold(mutex);
            text = failure.what();
            done = true;
            changed.notify_one();
        }
    });
    {
        std::unique_lock<std::mutex> hold(mutex);
        changed.wait(hold, [&] { return done; });
    }
    thread.join();
    return Py_BuildValue("(si)", text.c_str(), destroyed.load());
}

CASE(use_library)
{
    std::ostringstream stream;
    std::map<std::string, std::shared_ptr<int>> numbers;
    numbers["a key that is too long for the short form"] = std::make_shared<int>(7);
    numbers["short"] = std::make_shared<int>(8);
    for (const auto &pair : numbers) {
        stream << pair.first << '=' << *pair.second << ';';
    }
    stream << 2.5 << ';' << std::hex << 255;
    return PyUnicode_FromString(stream.str().c_str());
}

CASE(miss_handler) /* the seeded fault: a handler of an unrelated type lets the exception pass */
{
    try {
        try {
            throw Failure("passed", 1);
        }
        catch (const std::logic_error &) {
            return PyUnicode_FromString("caught by the wrong handler");
        }
    }
    catch (...) {
        return PyUnicode_FromString("caught by the outer handler");
    }
}

static PyMethodDef methods[] = {
    {"catch_below_destructors", catch_below_destructors, METH_NOARGS},
    {"catch_by_type", catch_by_type, METH_NOARGS},
    {"rethrow", rethrow, METH_NOARGS},
    {"throw_through", throw_through, METH_NOARGS},
    {"catch_through_cpython", catch_through_cpython, METH_O},
    {"catch_in_thread", catch_in_thread, METH_NOARGS},
    {"use_library", use_library, METH_NOARGS},
    {"miss_handler", miss_handler, METH_NOARGS},
    {nullptr, nullptr, 0, nullptr},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "exceptions", nullptr, 0, methods};
PyMODINIT_FUNC PyInit_exceptions(void) { return PyModule_Create(&definition); }

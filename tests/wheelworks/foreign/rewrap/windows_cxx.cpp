// Exceptions by Microsoft's C++ rules, without its library: each case returns a number that tells what ran.

// The virtual table of type_info, to which every type's description points; Microsoft's library has it.
__asm__(".section .rdata,\"dr\"\n"
        ".globl \"??_7type_info@@6B@\"\n"
        ".p2align 3\n"
        "\"??_7type_info@@6B@\":\n"
        ".quad 0\n"
        ".text\n");

static int destroyed;
static int live; // objects that were thrown and not destroyed

struct Guard {
    ~Guard() { destroyed++; }
};

struct Base {
    int value;
    explicit Base(int number) : value(number) { live++; }
    Base(const Base &other) : value(other.value) { live++; }
    ~Base() { live--; }
};

struct Other {
    long long padding = 5;
};

struct Derived : Other, Base {
    explicit Derived(int number) : Base(number) {}
};

static __attribute__((noinline)) void
raise(int kind)
{
    Guard guard;
    switch (kind) {
    case 0: throw 7;
    case 1: throw Derived(20);
    case 2: throw 2.5;
    case 3: throw "text";
    }
}

static __attribute__((noinline)) void
pass_on(int kind)
{
    Guard first, second;
    raise(kind);
}

// The innermost handler that fits takes an exception; destructors run before it does.
static __attribute__((noinline)) int
catch_any(int kind)
{
    destroyed = 0;
    try {
        pass_on(kind);
    } catch (int number) {
        return 1000 * destroyed + number;
    } catch (const Base &base) {
        return 1000 * destroyed + base.value;
    } catch (...) {
        return 1000 * destroyed + 99;
    }
    return -1000 * destroyed;
}

static __attribute__((noinline)) int
throw_again()
{
    int found = 0;
    destroyed = 0;
    try {
        try {
            pass_on(1);
        } catch (Base &base) {
            base.value++;
            throw;
        }
    } catch (const Derived &derived) {
        found = derived.value;
    }
    return 1000 * destroyed + found;
}

// An exception within a catch block, handled there; then another one that leaves it.
static __attribute__((noinline)) int
nest()
{
    int found = 0;
    try {
        try {
            raise(0);
        } catch (int outer) {
            Guard guard;
            try {
                raise(1);
            } catch (const Base &base) {
                found += base.value;
            }
            found += outer;
            throw 2.5;
        }
    } catch (double number) {
        found += (int)(number * 100);
    }
    return found;
}

static __attribute__((noinline)) int
catch_copy()
{
    try {
        raise(1);
    } catch (Derived derived) { // a copy, and the thrown object
        return 10 * live + derived.value;
    }
    return 0;
}

// Registers and variables of the function are as they were, in a loop that throws often.
static __attribute__((noinline)) int
repeat(int count, double scale)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        try {
            pass_on(i % 3);
        } catch (int number) {
            sum += number * scale;
        } catch (double number) {
            sum += number * scale;
        } catch (const Base &base) {
            sum += base.value * scale;
        }
    }
    return (int)sum;
}

extern "C" int
run_case(int number)
{
    switch (number) {
    case 0: return catch_any(0);
    case 1: return catch_any(1);
    case 2: return catch_any(2);
    case 3: return catch_any(9);
    case 4: return throw_again();
    case 5: return nest();
    case 6: return catch_copy();
    case 7: return live;
    case 8: return repeat(999, 2.0);
    case 9: raise(3); return 0; // nobody handles it
    }
    return -1;
}

/* Functions of Windows by what their documentation says: each check returns None, or what doesn't hold. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <io.h>
#include <process.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#define CHECK(condition)                         \
    if (!(condition)) {                          \
        return PyUnicode_FromString(#condition); \
    }
#define DONE return Py_NewRef(Py_None)
#define CASE(name) static PyObject *name(PyObject *self, PyObject *ignored)

CASE(waits)
{
    HANDLE event = CreateEventW(NULL, FALSE, TRUE, NULL), semaphore = CreateSemaphoreW(NULL, 1, 2, NULL);
    HANDLE mutex = CreateMutexW(NULL, TRUE, NULL), both[] = {event, semaphore};
    CHECK(WaitForSingleObject(event, 0) == WAIT_OBJECT_0);
    DWORD start = GetTickCount();
    CHECK(WaitForSingleObject(event, 60) == WAIT_TIMEOUT); /* it was reset by the wait */
    CHECK(GetTickCount() - start >= 50);
    CHECK(WaitForMultipleObjects(2, both, FALSE, 0) == WAIT_OBJECT_0 + 1);
    CHECK(WaitForMultipleObjects(2, both, TRUE, 0) == WAIT_TIMEOUT);
    CHECK(SetEvent(event) && ReleaseSemaphore(semaphore, 2, NULL));
    CHECK(!ReleaseSemaphore(semaphore, 1, NULL) && GetLastError() == ERROR_TOO_MANY_POSTS);
    CHECK(WaitForMultipleObjects(2, both, TRUE, 0) == WAIT_OBJECT_0);
    CHECK(WaitForSingleObject(mutex, 0) == WAIT_OBJECT_0); /* again by its owner */
    CHECK(ReleaseMutex(mutex) && ReleaseMutex(mutex) && !ReleaseMutex(mutex));
    CHECK(CloseHandle(event) && CloseHandle(semaphore) && CloseHandle(mutex));
    CHECK(!CloseHandle(event) && GetLastError() == ERROR_INVALID_HANDLE);
    CHECK(WaitForSingleObject(event, 0) == WAIT_FAILED);
    DONE;
}

typedef struct {
    CRITICAL_SECTION section;
    CONDITION_VARIABLE condition;
    SRWLOCK lock;
    int counter, ready;
} Shared;

static unsigned __stdcall
count(void *argument)
{
    Shared *shared = argument;
    for (int i = 0; i < 1000; i++) {
        AcquireSRWLockExclusive(&shared->lock);
        shared->counter++;
        ReleaseSRWLockExclusive(&shared->lock);
    }
    EnterCriticalSection(&shared->section);
    shared->ready++;
    LeaveCriticalSection(&shared->section);
    WakeAllConditionVariable(&shared->condition);
    return 3;
}

CASE(locks)
{
    static Shared shared;
    HANDLE threads[2];
    DWORD code;
    InitializeCriticalSection(&shared.section);
    CHECK(TryAcquireSRWLockExclusive(&shared.lock) && !TryAcquireSRWLockExclusive(&shared.lock));
    ReleaseSRWLockExclusive(&shared.lock);
    for (int i = 0; i < 2; i++) {
        threads[i] = (HANDLE)_beginthreadex(NULL, 0, count, &shared, 0, NULL);
    }
    EnterCriticalSection(&shared.section);
    EnterCriticalSection(&shared.section); /* again by its owner */
    LeaveCriticalSection(&shared.section);
    while (shared.ready < 2) {
        SleepConditionVariableCS(&shared.condition, &shared.section, 1000);
    }
    CHECK(!SleepConditionVariableCS(&shared.condition, &shared.section, 20) && GetLastError() == ERROR_TIMEOUT);
    LeaveCriticalSection(&shared.section);
    CHECK(WaitForMultipleObjects(2, threads, TRUE, INFINITE) == WAIT_OBJECT_0);
    CHECK(shared.counter == 2000 && GetExitCodeThread(threads[0], &code) && code == 3);
    CHECK(CloseHandle(threads[0]) && CloseHandle(threads[1]));
    DONE;
}

static void CALLBACK
note(void *value)
{
    ++*(int *)value;
}

static int ended;
static DWORD WINAPI
set_slot(void *slot)
{
    FlsSetValue(*(DWORD *)slot, &ended);
    return 0;
}

CASE(slots)
{
    DWORD slot = FlsAlloc(note), other = TlsAlloc();
    CHECK(slot != FLS_OUT_OF_INDEXES && other != TLS_OUT_OF_INDEXES && TlsGetValue(other) == NULL);
    CHECK(TlsSetValue(other, &slot) && TlsGetValue(other) == &slot);
    HANDLE thread = CreateThread(NULL, 0, set_slot, &slot, 0, NULL);
    CHECK(WaitForSingleObject(thread, 5000) == WAIT_OBJECT_0);
    CHECK(ended == 1); /* the callback ran before the thread was reported to have ended */
    CHECK(TlsFree(other) && CloseHandle(thread));
    DONE;
}

CASE(memory)
{
    DWORD before;
    char *pages = VirtualAlloc(NULL, 0x20000, MEM_RESERVE, PAGE_NOACCESS);
    CHECK(pages && (size_t)pages % 0x10000 == 0);
    CHECK(VirtualAlloc(pages + 0x10000, 0x1000, MEM_COMMIT, PAGE_READWRITE) == pages + 0x10000);
    pages[0x10000] = 7;
    CHECK(VirtualProtect(pages + 0x10000, 0x1000, PAGE_READONLY, &before) && before == PAGE_READWRITE);
    CHECK(pages[0x10000] == 7);
    MEMORY_BASIC_INFORMATION information;
    CHECK(VirtualQuery(pages + 0x10800, &information, sizeof(information)) == sizeof(information));
    CHECK(information.BaseAddress == pages + 0x10000 && information.AllocationBase == pages);
    CHECK(information.State == MEM_COMMIT && information.Protect == PAGE_READONLY);
    CHECK(!VirtualFree(pages, 0x1000, MEM_RELEASE)); /* a size isn't allowed */
    CHECK(VirtualFree(pages, 0, MEM_RELEASE) && !VirtualFree(pages, 0, MEM_RELEASE));
    char *block = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 100);
    CHECK(block && block[99] == 0 && (block = HeapReAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, block, 5000)) &&
          block[4999] == 0);
    CHECK(HeapFree(GetProcessHeap(), 0, block));
    DONE;
}

CASE(texts)
{
    wchar_t wide[16];
    char narrow[16];
    CHECK(MultiByteToWideChar(CP_UTF8, 0, "a\xc3\xa9\xf0\x9f\x98\x80", -1, NULL, 0) == 5);
    CHECK(MultiByteToWideChar(CP_UTF8, 0, "a\xc3\xa9\xf0\x9f\x98\x80", -1, wide, 16) == 5);
    CHECK(wide[1] == 0xE9 && wide[2] == 0xD83D && wide[3] == 0xDE00 && wide[4] == 0);
    CHECK(WideCharToMultiByte(CP_UTF8, 0, wide, 4, narrow, 16, NULL, NULL) == 7);
    CHECK(memcmp(narrow, "a\xc3\xa9\xf0\x9f\x98\x80", 7) == 0);
    CHECK(WideCharToMultiByte(CP_UTF8, 0, wide, 4, narrow, 3, NULL, NULL) == 0 &&
          GetLastError() == ERROR_INSUFFICIENT_BUFFER);
    CHECK(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, "\xff", 1, wide, 16) == 0);
    CHECK(GetLastError() == ERROR_NO_UNICODE_TRANSLATION);
    CHECK(wcslen(L"abc") == 3 && wcscmp(L"abc", L"abd") < 0 && wcschr(L"abc", L'c')[0] == L'c');
    CHECK(_wcsicmp(L"ABC", L"abc") == 0 && wcstol(L" -12x", NULL, 10) == -12);
    CHECK(strtol("3000000000", NULL, 10) == 2147483647 && errno == ERANGE);
    CHECK(strtoul("4294967295", NULL, 10) == 4294967295u);
    char *message = NULL;
    DWORD flags = FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    CHECK(FormatMessageA(flags, NULL, ERROR_ACCESS_DENIED, 0, (char *)&message, 0, NULL) == 19);
    CHECK(strcmp(message, "Access is denied.\r\n") == 0 && LocalFree(message) == NULL);
    DONE;
}

CASE(formats)
{
    char text[64];
    CHECK(snprintf(text, 64, "%I64d %I32u %zx %5.1f|%-4d|%04x", -5LL, 6u, (size_t)255, 2.25, 7, 0x1f) == 23);
    CHECK(strcmp(text, "-5 6 ff   2.2|7   |001f") == 0);
    CHECK(snprintf(text, 4, "%s", "abcdef") == 6 && strcmp(text, "abc") == 0);
    CHECK(_snprintf(text, 3, "%s", "abc") == 3 && text[2] == 'c');
    int number;
    long other;
    double real;
    char word[8];
    CHECK(sscanf("12 -34 5.5 xyz", "%d %ld %lf %7[a-z]", &number, &other, &real, word) == 4);
    CHECK(number == 12 && other == -34 && real == 5.5 && strcmp(word, "xyz") == 0);
    DONE;
}

CASE(files)
{
    wchar_t folder[200], path[260];
    DWORD count;
    LARGE_INTEGER size;
    char text[16] = {0};
    CHECK(GetTempPathW(200, folder) > 0);
    swprintf(path, 260, L"%ls\\shim-%lu.txt", folder, GetCurrentProcessId());
    HANDLE file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    CHECK(file != INVALID_HANDLE_VALUE && WriteFile(file, "hello world", 11, &count, NULL) && count == 11);
    CHECK(GetFileSizeEx(file, &size) && size.QuadPart == 11);
    CHECK(SetFilePointer(file, 6, NULL, FILE_BEGIN) == 6 && ReadFile(file, text, 15, &count, NULL) && count == 5);
    CHECK(strcmp(text, "world") == 0);
    HANDLE mapping = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    char *view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    CHECK(view && memcmp(view, "hello world", 11) == 0 && UnmapViewOfFile(view) && CloseHandle(mapping));
    CHECK(CreateFileW(path, GENERIC_READ, 0, NULL, CREATE_NEW, 0, NULL) == INVALID_HANDLE_VALUE);
    CHECK(GetLastError() == ERROR_FILE_EXISTS && GetFileType(file) == FILE_TYPE_DISK && CloseHandle(file));
    WIN32_FIND_DATAW found;
    HANDLE search = FindFirstFileW(path, &found);
    CHECK(search != INVALID_HANDLE_VALUE && found.nFileSizeLow == 11 && FindClose(search));
    CHECK(GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES && DeleteFileW(path));
    CHECK(GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_FILE_NOT_FOUND);
    DONE;
}

CASE(times)
{
    __time64_t day = 86400;
    struct tm parts;
    SYSTEMTIME now;
    FILETIME ticks;
    struct {
        struct tm parts;
        int guard;
    } guarded = {{0}, 77};
    CHECK(_gmtime64_s(&guarded.parts, &day) == 0 && guarded.guard == 77); /* a struct tm of Linux is longer */
    parts = guarded.parts;
    CHECK(parts.tm_year == 70 && parts.tm_mday == 2 && parts.tm_wday == 5 && _mkgmtime64(&parts) == day);
    GetSystemTime(&now);
    CHECK(now.wYear > 2024 && SystemTimeToFileTime(&now, &ticks) && FileTimeToSystemTime(&ticks, &now));
    CHECK(now.wYear > 2024);
    LARGE_INTEGER first, second;
    CHECK(QueryPerformanceCounter(&first));
    Sleep(20);
    CHECK(QueryPerformanceCounter(&second) && second.QuadPart - first.QuadPart >= 150000);
    DONE;
}

extern void *__imp_getenv, *__imp_qsort, *__imp_PyList_New;

/* GetProcAddress finds what an import of the name is bound to, and nothing else of glibc. */
CASE(functions)
{
    HMODULE runtime = GetModuleHandleW(L"ucrtbase.dll"), system = LoadLibraryW(L"ws2_32.dll");
    HMODULE python = GetModuleHandleW(L"python3.dll"), old = GetModuleHandleA("msvcrt.dll");
    CHECK((void *)GetProcAddress(runtime, "getenv") == __imp_getenv && __imp_getenv);
    CHECK((void *)GetProcAddress(GetModuleHandleA("api-ms-win-crt-utility-l1-1-0.dll"), "qsort") == __imp_qsort);
    CHECK((void *)GetProcAddress(python, "PyList_New") == __imp_PyList_New);
    double (*hypotenuse)(double, double) = (double (*)(double, double))GetProcAddress(runtime, "hypot");
    double (*scale)(double, int) = (double (*)(double, int))GetProcAddress(old, "ldexp");
    CHECK(hypotenuse && hypotenuse(3, 4) == 5 && scale && scale(0.75, 3) == 6);
    CHECK(GetProcAddress(system, "send") && !GetProcAddress(system, "hypot"));
    CHECK(!GetProcAddress(runtime, "fork") && !GetProcAddress(runtime, "strsep") && !GetProcAddress(runtime, "dlsym"));
    CHECK(!GetProcAddress(python, "hypot") && !GetProcAddress(python, "fork"));
    CHECK(GetLastError() == ERROR_PROC_NOT_FOUND);
    DONE;
}

CASE(modules)
{
    HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    CHECK(kernel && GetProcAddress(kernel, "Sleep") && !GetProcAddress(kernel, "NoSuchFunction"));
    CHECK(GetLastError() == ERROR_PROC_NOT_FOUND);
    CHECK(LoadLibraryA("no-such-library.dll") == NULL && GetLastError() == ERROR_MOD_NOT_FOUND);
    SetEnvironmentVariableW(L"SHIM_TEST", L"\u00e9");
    wchar_t value[8];
    CHECK(GetEnvironmentVariableW(L"SHIM_TEST", value, 8) == 1 && value[0] == 0xE9);
    CHECK(GetEnvironmentVariableW(L"SHIM_NONE", value, 8) == 0 && GetLastError() == ERROR_ENVVAR_NOT_FOUND);
    SYSTEM_INFO information;
    GetSystemInfo(&information);
    CHECK(information.wProcessorArchitecture == PROCESSOR_ARCHITECTURE_ARM64 && information.dwPageSize == 4096);
    DONE;
}

CASE(sockets)
{
    WSADATA data;
    CHECK(WSAStartup(MAKEWORD(2, 2), &data) == 0);
    SOCKET server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int size = sizeof(address);
    u_long on = 1;
    char text[8] = {0};
    if (server == INVALID_SOCKET || bind(server, (struct sockaddr *)&address, size) != 0) {
        DONE; /* no IPv6 here */
    }
    CHECK(listen(server, 1) == 0 && getsockname(server, (struct sockaddr *)&address, &size) == 0);
    CHECK(address.sin6_family == AF_INET6 && address.sin6_port != 0);
    CHECK(connect(client, (struct sockaddr *)&address, size) == 0);
    SOCKET peer = accept(server, NULL, NULL);
    CHECK(peer != INVALID_SOCKET && ioctlsocket(peer, FIONBIO, &on) == 0);
    CHECK(recv(peer, text, 8, 0) == SOCKET_ERROR && WSAGetLastError() == WSAEWOULDBLOCK);
    fd_set ready;
    FD_ZERO(&ready);
    FD_SET(peer, &ready);
    struct timeval limit = {5, 0};
    CHECK(send(client, "hi", 2, 0) == 2 && select(0, &ready, NULL, NULL, &limit) == 1 && FD_ISSET(peer, &ready));
    CHECK(recv(peer, text, 8, 0) == 2 && strcmp(text, "hi") == 0);
    CHECK(closesocket(peer) == 0 && closesocket(client) == 0 && closesocket(server) == 0);
    CHECK(closesocket(server) == SOCKET_ERROR && WSAGetLastError() != 0);
    DONE;
}

#define METHOD(name) {#name, name, METH_NOARGS, NULL}
static PyMethodDef methods[] = {
    METHOD(waits), METHOD(locks), METHOD(slots),   METHOD(memory),  METHOD(texts), METHOD(formats),
    METHOD(files), METHOD(times), METHOD(functions), METHOD(modules), METHOD(sockets), {NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "system", NULL, -1, methods};

PyMODINIT_FUNC
PyInit_system(void)
{
    return PyModule_Create(&definition);
}

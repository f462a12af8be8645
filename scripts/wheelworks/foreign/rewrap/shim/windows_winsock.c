/* Sockets of Windows (WS2_32). A SOCKET is a descriptor, the one that Python's socket objects have.

   Numbers of families, options, flags and errors differ. Imports by ordinal are turned into names by the rewrapper.
   Source: https://learn.microsoft.com/windows/win32/winsock, winsock2.h, ws2ipdef.h, mstcpip.h */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "windows_winsock.h"

/* ---- errors ---- */

static const struct {
    u32 error;
    int number;
} errors[] = {
    {10004, EINTR},         {10009, EBADF},        {10013, EACCES},          {10014, EFAULT},
    {10022, EINVAL},        {10024, EMFILE},       {10035, EAGAIN},          {10036, EINPROGRESS},
    {10037, EALREADY},      {10038, ENOTSOCK},     {10039, EDESTADDRREQ},    {10040, EMSGSIZE},
    {10041, EPROTOTYPE},    {10042, ENOPROTOOPT},  {10043, EPROTONOSUPPORT}, {10044, ESOCKTNOSUPPORT},
    {10045, EOPNOTSUPP},    {10046, EPFNOSUPPORT}, {10047, EAFNOSUPPORT},    {10048, EADDRINUSE},
    {10049, EADDRNOTAVAIL}, {10050, ENETDOWN},     {10051, ENETUNREACH},     {10052, ENETRESET},
    {10053, ECONNABORTED},  {10054, ECONNRESET},   {10055, ENOBUFS},         {10056, EISCONN},
    {10057, ENOTCONN},      {10058, ESHUTDOWN},    {10058, EPIPE},           {10060, ETIMEDOUT},
    {10061, ECONNREFUSED},  {10064, EHOSTDOWN},    {10065, EHOSTUNREACH},
};

u32
socket_error_of(int number)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        if (errors[i].number == number) {
            return errors[i].error;
        }
    }
    return 10107; /* WSASYSCALLFAILURE */
}

int
fail_socket(u32 error)
{
    last_error = error; /* WSAGetLastError() is GetLastError() */
    return SOCKET_ERROR;
}

/* A call's result, or -1 with the error set. */
static int
check(ssize_t result)
{
    return result < 0 ? fail_socket(socket_error_of(errno)) : (int)result;
}

static Socket
check_socket(int descriptor)
{
    check(descriptor);
    return descriptor < 0 ? INVALID_SOCKET : (Socket)descriptor;
}

EXPORT(WSAGetLastError, u32)(void) { return last_error; }
EXPORT(WSASetLastError, void)(u32 error) { last_error = error; }

typedef struct { /* WSADATA of 64-bit Windows */
    u16 version, highest, sockets, datagram;
    char *vendor;
    char description[257], status[129];
} StartupData;

EXPORT(WSAStartup, int)(u16 version, StartupData *to)
{
    memset(to, 0, sizeof(*to));
    to->version = version > 0x202 ? 0x202 : version;
    to->highest = 0x202;
    return 0;
}
EXPORT(WSACleanup, int)(void) { return 0; }

/* ---- addresses: families have other numbers ---- */

enum { WINDOWS_INET6 = 23 };

int
to_native_family(int family)
{
    return family == WINDOWS_INET6 ? AF_INET6 : family;
}

int
to_windows_family(int family)
{
    return family == AF_INET6 ? WINDOWS_INET6 : family;
}

socklen_t
import_address(const void *from, int size, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof(*to));
    if (from == NULL || size < 2 || (size_t)size > sizeof(*to)) {
        return 0;
    }
    memcpy(to, from, (size_t)size);
    to->ss_family = (sa_family_t)to_native_family(to->ss_family);
    return (socklen_t)size;
}

/* Copy an address out, as much as there is room for; `size` gets its whole size. */
static void
export_address(struct sockaddr_storage *from, socklen_t size, void *to, int *room)
{
    if (to == NULL || room == NULL) {
        return;
    }
    from->ss_family = (sa_family_t)to_windows_family(from->ss_family);
    memcpy(to, from, (size_t)*room < size ? (size_t)*room : size);
    *room = (int)size;
}

/* ---- sockets ---- */

EXPORT(socket, Socket)(int family, int kind, int protocol)
{
    return check_socket(socket(to_native_family(family), kind | SOCK_CLOEXEC, protocol));
}

EXPORT(WSASocketW, Socket)(int family, int kind, int protocol, void *information, u32 group, u32 flags)
{
    if (information != NULL || group != 0) {
        fail_socket(10045);
        return INVALID_SOCKET;
    }
    return w_socket(family, kind, protocol);
}
EXPORT(WSASocketA, Socket)(int family, int kind, int protocol, void *information, u32 group, u32 flags)
{
    return w_WSASocketW(family, kind, protocol, information, group, flags);
}

EXPORT(closesocket, int)(Socket socket) { return check(close((int)socket)); }
EXPORT(shutdown, int)(Socket socket, int how) { return check(shutdown((int)socket, how)); }
EXPORT(listen, int)(Socket socket, int backlog) { return check(listen((int)socket, backlog)); }

EXPORT(bind, int)(Socket socket, const void *address, int size)
{
    struct sockaddr_storage copy;
    socklen_t length = import_address(address, size, &copy);
    return check(bind((int)socket, (struct sockaddr *)&copy, length));
}

EXPORT(connect, int)(Socket socket, const void *address, int size)
{
    struct sockaddr_storage copy;
    socklen_t length = import_address(address, size, &copy);
    int result = connect((int)socket, (struct sockaddr *)&copy, length);
    return result < 0 && errno == EINPROGRESS ? fail_socket(10035) : check(result); /* would block, to Windows */
}

EXPORT(accept, Socket)(Socket socket, void *address, int *size)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    int descriptor = accept4((int)socket, (struct sockaddr *)&from, &length, SOCK_CLOEXEC);
    if (descriptor >= 0) {
        export_address(&from, length, address, size);
    }
    return check_socket(descriptor);
}

EXPORT(getsockname, int)(Socket socket, void *address, int *size)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof(own);
    int result = check(getsockname((int)socket, (struct sockaddr *)&own, &length));
    if (result == 0) {
        export_address(&own, length, address, size);
    }
    return result;
}

EXPORT(getpeername, int)(Socket socket, void *address, int *size)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    int result = check(getpeername((int)socket, (struct sockaddr *)&peer, &length));
    if (result == 0) {
        export_address(&peer, length, address, size);
    }
    return result;
}

static const Flag message_flags[] = {{1, MSG_OOB}, {2, MSG_PEEK}, {4, MSG_DONTROUTE}, {8, MSG_WAITALL}};

EXPORT(send, int)(Socket socket, const void *from, int count, int flags)
{
    return check(send((int)socket, from, (size_t)count, TO_NATIVE_FLAGS(message_flags, flags) | MSG_NOSIGNAL));
}

EXPORT(recv, int)(Socket socket, void *to, int count, int flags)
{
    return check(recv((int)socket, to, (size_t)count, TO_NATIVE_FLAGS(message_flags, flags)));
}

EXPORT(sendto, int)(Socket socket, const void *from, int count, int flags, const void *address, int size)
{
    struct sockaddr_storage copy;
    socklen_t length = import_address(address, size, &copy);
    int converted = TO_NATIVE_FLAGS(message_flags, flags) | MSG_NOSIGNAL;
    return check(sendto((int)socket, from, (size_t)count, converted, length ? (struct sockaddr *)&copy : NULL, length));
}

EXPORT(recvfrom, int)(Socket socket, void *to, int count, int flags, void *address, int *size)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    int converted = TO_NATIVE_FLAGS(message_flags, flags) | MSG_TRUNC;
    ssize_t result = recvfrom((int)socket, to, (size_t)count, converted, (struct sockaddr *)&from, &length);
    if (result >= 0) {
        export_address(&from, length, address, size);
    }
    return result > count ? fail_socket(10040) : check(result); /* Windows reports a datagram that was cut */
}

/* ---- options ---- */

typedef struct {
    int level, option; /* of Windows */
    int native_level, native_option;
} Option;

enum {
    WINDOWS_SOL_SOCKET = 0xFFFF,
    WINDOWS_SO_LINGER = 0x80,
    WINDOWS_SO_SNDTIMEO = 0x1005,
    WINDOWS_SO_RCVTIMEO = 0x1006
};
enum {
    WINDOWS_SO_ERROR = 0x1007,
    WINDOWS_SO_EXCLUSIVEADDRUSE = -5,
    IP = IPPROTO_IP,
    IPV6 = IPPROTO_IPV6,
    TCP = IPPROTO_TCP
};

static const Option options[] = {
    {WINDOWS_SOL_SOCKET, 1, SOL_SOCKET, SO_DEBUG},
    {WINDOWS_SOL_SOCKET, 2, SOL_SOCKET, SO_ACCEPTCONN},
    {WINDOWS_SOL_SOCKET, 4, SOL_SOCKET, SO_REUSEADDR},
    {WINDOWS_SOL_SOCKET, 8, SOL_SOCKET, SO_KEEPALIVE},
    {WINDOWS_SOL_SOCKET, 0x10, SOL_SOCKET, SO_DONTROUTE},
    {WINDOWS_SOL_SOCKET, 0x20, SOL_SOCKET, SO_BROADCAST},
    {WINDOWS_SOL_SOCKET, WINDOWS_SO_LINGER, SOL_SOCKET, SO_LINGER},
    {WINDOWS_SOL_SOCKET, 0x100, SOL_SOCKET, SO_OOBINLINE},
    {WINDOWS_SOL_SOCKET, 0x1001, SOL_SOCKET, SO_SNDBUF},
    {WINDOWS_SOL_SOCKET, 0x1002, SOL_SOCKET, SO_RCVBUF},
    {WINDOWS_SOL_SOCKET, WINDOWS_SO_SNDTIMEO, SOL_SOCKET, SO_SNDTIMEO},
    {WINDOWS_SOL_SOCKET, WINDOWS_SO_RCVTIMEO, SOL_SOCKET, SO_RCVTIMEO},
    {WINDOWS_SOL_SOCKET, WINDOWS_SO_ERROR, SOL_SOCKET, SO_ERROR},
    {WINDOWS_SOL_SOCKET, 0x1008, SOL_SOCKET, SO_TYPE},
    {TCP, 1, TCP, TCP_NODELAY},
    {TCP, 3, TCP, TCP_KEEPIDLE},
    {TCP, 16, TCP, TCP_KEEPCNT},
    {TCP, 17, TCP, TCP_KEEPINTVL},
    {IP, 3, IP, IP_TOS},
    {IP, 4, IP, IP_TTL},
    {IP, 9, IP, IP_MULTICAST_IF},
    {IP, 10, IP, IP_MULTICAST_TTL},
    {IP, 11, IP, IP_MULTICAST_LOOP},
    {IP, 12, IP, IP_ADD_MEMBERSHIP},
    {IP, 13, IP, IP_DROP_MEMBERSHIP},
    {IPV6, 4, IPV6, IPV6_UNICAST_HOPS},
    {IPV6, 9, IPV6, IPV6_MULTICAST_IF},
    {IPV6, 10, IPV6, IPV6_MULTICAST_HOPS},
    {IPV6, 11, IPV6, IPV6_MULTICAST_LOOP},
    {IPV6, 12, IPV6, IPV6_JOIN_GROUP},
    {IPV6, 13, IPV6, IPV6_LEAVE_GROUP},
    {IPV6, 27, IPV6, IPV6_V6ONLY},
};

static const Option *
find_option(int level, int option)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        if (options[i].level == level && options[i].option == option) {
            return &options[i];
        }
    }
    fail_socket(10042); /* WSAENOPROTOOPT */
    return NULL;
}

static BOOL
is_timeout(const Option *one)
{
    return one->native_level == SOL_SOCKET && (one->native_option == SO_SNDTIMEO || one->native_option == SO_RCVTIMEO);
}

EXPORT(setsockopt, int)(Socket socket, int level, int option, const void *value, int size)
{
    if (level == WINDOWS_SOL_SOCKET && option == WINDOWS_SO_EXCLUSIVEADDRUSE) {
        return 0; /* Linux's default */
    }
    const Option *one = find_option(level, option);
    if (one == NULL) {
        return SOCKET_ERROR;
    }
    struct timeval time;
    struct linger linger;
    int number;
    if (is_timeout(one) && size >= 4) { /* milliseconds */
        memcpy(&number, value, 4);
        time = (struct timeval){number / 1000, number % 1000 * 1000};
        return check(setsockopt((int)socket, one->native_level, one->native_option, &time, sizeof(time)));
    }
    if (level == WINDOWS_SOL_SOCKET && option == WINDOWS_SO_LINGER && size >= 4) { /* two u_short */
        linger = (struct linger){((const u16 *)value)[0], ((const u16 *)value)[1]};
        return check(setsockopt((int)socket, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    }
    if (size == 1) { /* a BOOLEAN */
        number = *(const u8 *)value;
        return check(setsockopt((int)socket, one->native_level, one->native_option, &number, sizeof(number)));
    }
    return check(setsockopt((int)socket, one->native_level, one->native_option, value, (socklen_t)size));
}

EXPORT(getsockopt, int)(Socket socket, int level, int option, void *to, int *size)
{
    const Option *one = find_option(level, option);
    if (one == NULL) {
        return SOCKET_ERROR;
    }
    struct timeval time;
    struct linger linger;
    socklen_t length = (socklen_t)*size;
    if (is_timeout(one)) {
        length = sizeof(time);
        int result = check(getsockopt((int)socket, one->native_level, one->native_option, &time, &length));
        *(u32 *)to = (u32)(time.tv_sec * 1000 + time.tv_usec / 1000);
        return result;
    }
    if (level == WINDOWS_SOL_SOCKET && option == WINDOWS_SO_LINGER) {
        length = sizeof(linger);
        int result = check(getsockopt((int)socket, SOL_SOCKET, SO_LINGER, &linger, &length));
        ((u16 *)to)[0] = (u16)linger.l_onoff;
        ((u16 *)to)[1] = (u16)linger.l_linger;
        return result;
    }
    int result = check(getsockopt((int)socket, one->native_level, one->native_option, to, &length));
    *size = (int)length;
    if (result == 0 && level == WINDOWS_SOL_SOCKET && option == WINDOWS_SO_ERROR) {
        *(u32 *)to = *(int *)to ? socket_error_of(*(int *)to) : 0;
    }
    return result;
}

enum { WINDOWS_FIONBIO = (int)0x8004667E, WINDOWS_FIONREAD = 0x4004667F };
EXPORT(ioctlsocket, int)(Socket socket, int command, u32 *argument)
{
    if (command == WINDOWS_FIONREAD) {
        return check(ioctl((int)socket, FIONREAD, argument));
    }
    if (command != WINDOWS_FIONBIO) {
        return fail_socket(10045);
    }
    int flags = fcntl((int)socket, F_GETFL);
    flags = *argument ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return check(fcntl((int)socket, F_SETFL, flags));
}

/* ---- byte order ---- */

EXPORT(htons, u16)(u16 value) { return htons(value); }
EXPORT(ntohs, u16)(u16 value) { return ntohs(value); }
EXPORT(htonl, u32)(u32 value) { return htonl(value); }
EXPORT(ntohl, u32)(u32 value) { return ntohl(value); }
EXPORT(inet_addr, u32)(const char *text) { return inet_addr(text); }
EXPORT(inet_ntoa, char *)(u32 address) { return inet_ntoa((struct in_addr){address}); }
EXPORT(inet_pton, int)(int family, const char *text, void *to) { return inet_pton(to_native_family(family), text, to); }
EXPORT(inet_ntop, const char *)(int family, const void *from, char *to, size_t size)
{
    return inet_ntop(to_native_family(family), from, to, (socklen_t)size);
}

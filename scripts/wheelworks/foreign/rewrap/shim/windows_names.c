/* Waiting for sockets (select, WSAPoll), and names of hosts and services.
   Source: https://learn.microsoft.com/windows/win32/api/winsock2, ws2tcpip.h */

#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#include "windows_winsock.h"

/* ---- select: a set is a list of sockets ---- */

enum { SET_SIZE = 64 };

typedef struct {
    u32 count;
    Socket sockets[SET_SIZE];
} SocketSet;

typedef struct {
    int seconds, microseconds;
} WindowsTimeval;

EXPORT(__WSAFDIsSet, int)(Socket socket, const SocketSet *set)
{
    for (u32 i = 0; i < set->count; i++) {
        if (set->sockets[i] == socket) {
            return 1;
        }
    }
    return 0;
}

static nfds_t
add_polls(const SocketSet *set, short events, struct pollfd *polls, nfds_t count)
{
    for (u32 i = 0; set && i < set->count && i < SET_SIZE; i++) {
        polls[count++] = (struct pollfd){(int)set->sockets[i], events, 0};
    }
    return count;
}

static int
keep_ready(SocketSet *set, short wanted, const struct pollfd **polls)
{
    u32 kept = 0, count = set ? set->count : 0;
    for (u32 i = 0; i < count; i++, (*polls)++) {
        if ((*polls)->revents & wanted) {
            set->sockets[kept++] = set->sockets[i];
        }
    }
    if (set != NULL) {
        set->count = kept;
    }
    return (int)kept;
}

EXPORT(select, int)(int ignored, SocketSet *read, SocketSet *write, SocketSet *except, const WindowsTimeval *limit)
{
    struct pollfd polls[3 * SET_SIZE];
    nfds_t count = add_polls(read, POLLIN, polls, 0);
    count = add_polls(write, POLLOUT, polls, count);
    count = add_polls(except, POLLPRI, polls, count);
    struct timespec time = {limit ? limit->seconds : 0, limit ? limit->microseconds * 1000L : 0};
    if (ppoll(polls, count, limit ? &time : NULL, NULL) < 0) {
        return fail_socket(socket_error_of(errno));
    }
    for (nfds_t i = 0; i < count; i++) {
        if (polls[i].revents & POLLNVAL) {
            return fail_socket(10038); /* WSAENOTSOCK */
        }
    }
    const struct pollfd *at = polls;
    int ready = keep_ready(read, POLLIN | POLLHUP | POLLERR, &at);
    ready += keep_ready(write, POLLOUT, &at);
    return ready + keep_ready(except, POLLPRI | POLLERR, &at); /* a failed connection, too */
}

/* ---- WSAPoll ---- */

typedef struct {
    Socket socket;
    short events, revents;
} WindowsPoll;

static const Flag events[] = {{0x100, POLLRDNORM}, {0x200, POLLRDBAND}, {0x400, POLLPRI}, {0x10, POLLWRNORM},
                              {0x20, POLLWRBAND},  {1, POLLERR},        {2, POLLHUP},     {4, POLLNVAL}};

EXPORT(WSAPoll, int)(WindowsPoll *polls, u32 count, int milliseconds)
{
    struct pollfd *native = calloc(count ? count : 1, sizeof(*native));
    if (native == NULL) {
        return fail_socket(10055); /* WSAENOBUFS */
    }
    for (u32 i = 0; i < count; i++) {
        native[i] = (struct pollfd){(int)polls[i].socket, (short)TO_NATIVE_FLAGS(events, polls[i].events), 0};
    }
    int result = poll(native, count, milliseconds);
    int error = errno;
    for (u32 i = 0; i < count; i++) {
        polls[i].revents = (short)TO_WINDOWS_FLAGS(events, native[i].revents);
    }
    free(native);
    return result < 0 ? fail_socket(socket_error_of(error)) : result;
}

/* ---- getaddrinfo ---- */

typedef struct windows_address {
    int flags, family, kind, protocol;
    size_t size;
    char *canonical;
    void *address;
    struct windows_address *next;
} WindowsAddress;

static const Flag lookup_flags[] = {{1, AI_PASSIVE}, {2, AI_CANONNAME},      {4, AI_NUMERICHOST}, {8, AI_NUMERICSERV},
                                    {0x100, AI_ALL}, {0x400, AI_ADDRCONFIG}, {0x800, AI_V4MAPPED}};

static const struct {
    int native;
    u32 windows;
} lookup_errors[] = {{EAI_AGAIN, 11002},   {EAI_FAIL, 11003},     {EAI_FAMILY, 10047},  {EAI_MEMORY, 8},
                     {EAI_SERVICE, 10109}, {EAI_SOCKTYPE, 10044}, {EAI_BADFLAGS, 10022}};

static int
convert_lookup_error(int error)
{
    u32 converted = error == 0 ? 0 : error == EAI_SYSTEM ? socket_error_of(errno) : 11001; /* WSAHOST_NOT_FOUND */
    for (size_t i = 0; i < sizeof(lookup_errors) / sizeof(*lookup_errors); i++) {
        converted = lookup_errors[i].native == error ? lookup_errors[i].windows : converted;
    }
    last_error = converted;
    return (int)converted;
}

EXPORT(freeaddrinfo, void)(WindowsAddress *list)
{
    while (list != NULL) {
        WindowsAddress *next = list->next;
        free(list->canonical);
        free(list->address);
        free(list);
        list = next;
    }
}

static WindowsAddress *
convert_address(const struct addrinfo *from)
{
    WindowsAddress *to = calloc(1, sizeof(*to));
    void *address = to ? malloc(from->ai_addrlen) : NULL;
    if (address == NULL) {
        free(to);
        return NULL;
    }
    memcpy(address, from->ai_addr, from->ai_addrlen);
    *(u16 *)address = (u16)to_windows_family(from->ai_family);
    *to = (WindowsAddress){0,
                           to_windows_family(from->ai_family),
                           from->ai_socktype,
                           from->ai_protocol,
                           from->ai_addrlen,
                           from->ai_canonname ? strdup(from->ai_canonname) : NULL,
                           address,
                           NULL};
    return to;
}

EXPORT(getaddrinfo, int)(const char *host, const char *service, const WindowsAddress *wanted, WindowsAddress **to)
{
    struct addrinfo hints = {0}, *found = NULL;
    if (wanted != NULL) {
        hints.ai_family = to_native_family(wanted->family);
        hints.ai_socktype = wanted->kind;
        hints.ai_protocol = wanted->protocol;
        hints.ai_flags = TO_NATIVE_FLAGS(lookup_flags, wanted->flags);
    }
    *to = NULL;
    int error = getaddrinfo(host, service, &hints, &found);
    WindowsAddress **last = to;
    for (struct addrinfo *one = found; one; one = one->ai_next) {
        if ((*last = convert_address(one)) == NULL) {
            error = EAI_MEMORY;
            break;
        }
        last = &(*last)->next;
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    if (error != 0) {
        w_freeaddrinfo(*to);
        *to = NULL;
    }
    return convert_lookup_error(error);
}

static const Flag name_flags[] = {
    {1, NI_NOFQDN}, {2, NI_NUMERICHOST}, {4, NI_NAMEREQD}, {8, NI_NUMERICSERV}, {16, NI_DGRAM}};

EXPORT(getnameinfo, int)
(const void *address, int size, char *host, u32 host_size, char *service, u32 service_size, int flags)
{
    struct sockaddr_storage copy;
    socklen_t length = import_address(address, size, &copy);
    return convert_lookup_error(getnameinfo((struct sockaddr *)&copy, length, host, host_size, service, service_size,
                                            TO_NATIVE_FLAGS(name_flags, flags)));
}

/* ---- older names ---- */

typedef struct { /* struct hostent */
    char *name, **aliases;
    short family, size;
    char **addresses;
} WindowsHost;

static WindowsHost *
convert_host(const struct hostent *host)
{
    static __thread WindowsHost result;
    if (host == NULL) {
        fail_socket(11001);
        return NULL;
    }
    result = (WindowsHost){host->h_name, host->h_aliases, (short)to_windows_family(host->h_addrtype),
                           (short)host->h_length, host->h_addr_list};
    return &result;
}

EXPORT(gethostbyname, WindowsHost *)(const char *name) { return convert_host(gethostbyname(name)); }
EXPORT(gethostbyaddr, WindowsHost *)(const void *address, int size, int family)
{
    return convert_host(gethostbyaddr(address, (socklen_t)size, to_native_family(family)));
}
EXPORT(gethostname, int)(char *to, int size)
{
    return gethostname(to, (size_t)size) < 0 ? fail_socket(socket_error_of(errno)) : 0;
}

typedef struct { /* struct servent of 64-bit Windows */
    char *name, **aliases, *protocol;
    short port;
} WindowsService;

static WindowsService *
convert_service(const struct servent *service)
{
    static __thread WindowsService result;
    if (service == NULL) {
        fail_socket(11004); /* WSANO_DATA */
        return NULL;
    }
    result = (WindowsService){service->s_name, service->s_aliases, service->s_proto, (short)service->s_port};
    return &result;
}

EXPORT(getservbyname, WindowsService *)(const char *name, const char *protocol)
{
    return convert_service(getservbyname(name, protocol));
}
EXPORT(getservbyport, WindowsService *)(int port, const char *protocol)
{
    return convert_service(getservbyport(port, protocol));
}

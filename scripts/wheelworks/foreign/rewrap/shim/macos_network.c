/* Addresses of the network as texts: AF_INET6 has another number.

   Sockets are left out: addresses start with their length on macOS, and most constants differ.
   Source: Apple's <sys/socket.h>, <arpa/inet.h>. */

#include <arpa/inet.h>
#include <sys/socket.h>

#include "macos.h"

static int
to_linux_family(int family)
{
    return family == AAF_INET6 ? AF_INET6 : family == AF_INET ? AF_INET : -1;
}

EXPORT(inet_pton, int)(int family, const char *text, void *address)
{
    return inet_pton(to_linux_family(family), text, address);
}

EXPORT(inet_ntop, const char *)(int family, const void *address, char *text, u32 size)
{
    return inet_ntop(to_linux_family(family), address, text, size);
}

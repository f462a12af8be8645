/* What the two files of Windows' sockets have in common. */

#ifndef WHEELWORKS_WINDOWS_WINSOCK_H
#define WHEELWORKS_WINDOWS_WINSOCK_H

#include <sys/socket.h>

#include "windows.h"

typedef u64 Socket;
#define INVALID_SOCKET (~(Socket)0)
enum { SOCKET_ERROR = -1 };

u32 socket_error_of(int number); /* a WSAE* of one of Linux's errno */
int fail_socket(u32 error);      /* set the last error; returns SOCKET_ERROR */
int to_native_family(int family);
int to_windows_family(int family);
/* Copy an address with Linux's family; its size, or 0 for a bad one. */
socklen_t import_address(const void *from, int size, struct sockaddr_storage *to);

#endif

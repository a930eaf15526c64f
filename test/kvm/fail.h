/*
 * Errors of the driver itself. A KVM errno is an answer and never comes here.
 *
 * EX_UNAVAILABLE  this machine cannot be used, and the message says why
 * EX_DATAERR      a request is malformed
 * EX_OSERR        a system call that must work did not
 * EX_SOFTWARE     KVM or the driver did what it cannot do
 */
#ifndef MEMSLOTS_TEST_FAIL_H
#define MEMSLOTS_TEST_FAIL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 2, 3))) static _Noreturn void fail(int status, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

#endif

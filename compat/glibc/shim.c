/* The six symbols of glibc 2.38 and libstdc++ 13 that the repaired wheels import, for a host that has older ones.
 *
 * Built beside each extension by repair.py and loaded as one of its dependencies. It is C, so that plain cc will do;
 * what it needs of libstdc++ it calls by its mangled name, which the loader resolves (libstdc++.so.6 is added to its
 * dependencies afterwards). Source of each contract: the Itanium C++ ABI and the two projects' own headers.
 */

#include <stdlib.h>

/* libstdc++: std::ios_base::Init::Init() and ~Init(), std::terminate(), __cxa_begin_catch(). */
extern void _ZNSt8ios_base4InitC1Ev(void *self);
extern void _ZNSt8ios_base4InitD1Ev(void *self);
extern void _ZSt9terminatev(void) __attribute__((noreturn));
extern void *__cxa_begin_catch(void *exception);

/* From libstdc++ 13 on, the library itself initialises std::cout and the other streams, and code compiled against it
 * only refers to this symbol, to be sure of such a library; nobody calls it. In older ones whoever uses the streams
 * holds an ios_base::Init (an empty class: any byte will do), as this library does for the extension. */
void _ZSt21ios_base_library_initv(void) {}

static char streams;

__attribute__((constructor)) static void initialise_streams(void) { _ZNSt8ios_base4InitC1Ev(&streams); }
__attribute__((destructor)) static void flush_streams(void) { _ZNSt8ios_base4InitD1Ev(&streams); }

/* What the compiler calls when an exception reaches a noexcept boundary. */
void __cxa_call_terminate(void *exception)
{
    if (exception)
        __cxa_begin_catch(exception);
    _ZSt9terminatev();
}

/* strtol and its kin as C23 has them: they differ from C11's only in reading "0b1" when the base is 0 or 2. */
long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
unsigned long __isoc23_strtoul(const char *text, char **end, int base) { return strtoul(text, end, base); }
long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }

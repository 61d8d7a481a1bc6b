/* Options for banger on the kernel's command line: `banger.root=root banger.net=10.0.2.15/24,10.0.2.2,10.0.2.3`. */
#ifndef BANGER_CMDLINE_H
#define BANGER_CMDLINE_H

#include <stddef.h>

/* Copy the value of the word `key=value` into `into`. Returns 1, or 0 (and "") if it is not there or does not fit. */
int cmdline_value(const char *key, char *into, size_t size);

#endif

/* Kernel modules: those that /etc/modules of the initramfs lists, in its order. */
#ifndef BANGER_MODULES_H
#define BANGER_MODULES_H

/* Load them all and remove their files, which only hold memory from then on. Failures are noted, not fatal. */
void modules_load(void);

#endif

/* The end: stop every program, release the disks, turn the machine off. */
#ifndef BANGER_POWER_H
#define BANGER_POWER_H

/* Does not return. Programs that have not ended after `deadline_ms` are killed. */
_Noreturn void power_off(unsigned deadline_ms);

#endif

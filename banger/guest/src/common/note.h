/* Messages on the console: `banger-init: mount /dev/vda: No such device`. */
#ifndef BANGER_NOTE_H
#define BANGER_NOTE_H

/* The name before each message; each program defines its own. */
extern const char program_name[];

/* Print `what`, and the text of `error_number` unless it is 0. Keeps errno. */
void note(const char *what, int error_number);

/* The same with a second word: `what detail: error`. */
void note_about(const char *what, const char *detail, int error_number);

#endif

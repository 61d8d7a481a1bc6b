/* What the host can ask for. One handler a request; the table in requests.c says which fields each takes. */
#ifndef BANGER_REQUESTS_H
#define BANGER_REQUESTS_H

#include "fields.h"
#include "session.h"

/* Answer one request, or note that its answer comes later. */
void request_handle(struct session *session, const struct wire_header *header, const uint8_t *body);

/* Answer a wait for SSH if it is decided, or is `late`. Returns whether it was answered. */
int request_ssh_decided(struct session *session, const struct wire_header *header, int late);

/* identity.c: put the identity in place. Returns NULL, or what went wrong (errno: why; 0 if the request is at fault). */
const char *identity_apply(const struct fields *fields);

/* listeners.c: write the TCP listeners as members of the object that is open. */
void listeners_write(struct json *json);

#endif

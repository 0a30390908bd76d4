// A second patch of sessions.c, which finds what the first has put beside the sessions.
#include <hotpatch.h>

#include "sessions.h"

long more(struct session *session)
{
    long *checks = hotpatch_shadow_get(session, CHECKS);
    return checks ? *checks : -1;
}

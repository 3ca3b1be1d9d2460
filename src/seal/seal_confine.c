/* Landlock, by its three calls: Debian 12's headers know neither its networks nor its scopes, and
 * there is no library. A kernel that knows less gets less. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seal/seal.h"

#define VERSION_FLAG   1
#define FS_EXECUTE     (UINT64_C(1) << 0)
#define NET_CONNECT    (UINT64_C(1) << 1) /* since version 4 */
#define SCOPE_ABSTRACT (UINT64_C(1) << 0) /* since version 6, as the next */
#define SCOPE_SIGNAL   (UINT64_C(1) << 1)

struct ruleset {
    uint64_t files, network, scopes;
};

/* No rule is added, so what is named here is refused everywhere. That there is a ruleset at all
 * keeps other processes' memory out of reach: Landlock lets nobody trace outside of his own. */
bool tw_seal_confine(bool has_broker)
{
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
    if (version < 1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return false;
    }
    const struct ruleset ruleset = {
        .files = FS_EXECUTE,
        .network = version >= 4 && !has_broker ? NET_CONNECT : 0,
        .scopes = version < 6  ? 0
                  : has_broker ? SCOPE_SIGNAL
                               : SCOPE_SIGNAL | SCOPE_ABSTRACT,
    };
    const long fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0);
    if (fd < 0) {
        return false;
    }
    const bool is_on = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    close((int)fd);
    return is_on;
}

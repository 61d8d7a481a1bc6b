/* Stands for sshd where a test needs none: greets whoever connects, and ends at nothing less than SIGKILL. */
#include <signal.h>
#include <unistd.h>

int main(void)
{
    static const char greeting[] = "SSH-2.0-fake\r\n";

    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (write(1, greeting, sizeof greeting - 1) < 0)
        return 1;
    for (;;)
        pause();
}

"""What the exit codes of `mithril` mean: one table, which the help and docs/cli.md print."""

FINE = 0
CHECK_FAILED = 1
WRONG_USAGE = 2
STORAGE = 3
UNTRUSTED = 4
FAULT = 70
NOT_EXECUTABLE = 126
NOT_FOUND = 127
INTERRUPTED = 130
BROKEN_PIPE = 141

MEANINGS = {
    FINE: "fine",
    CHECK_FAILED: "a check failed, or there was nothing to do it to",
    WRONG_USAGE: "wrong usage: an option, a variable, something that is not installed",
    STORAGE: "the file system, the network or the shared store refused",
    UNTRUSTED: "not signed as the policy demands",
    FAULT: "a fault of mithril itself",
    INTERRUPTED: "interrupted",
    BROKEN_PIPE: "the reader of the output went away",
}

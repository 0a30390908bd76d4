// Goes nowhere.
long descend(long rest, int waits) {
    (void)rest, (void)waits;
    return -1;
}

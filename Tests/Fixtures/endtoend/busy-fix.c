// Does not stay.
const char *linger(int how) {
    (void)how;
    return "new";
}

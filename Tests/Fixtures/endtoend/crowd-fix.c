// Does not stay.
const char *dwell(int stays) {
    (void)stays;
    return "new";
}

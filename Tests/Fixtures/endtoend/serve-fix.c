// Where a main loop is replaced, nobody will ever call the new one.
void serve(void) {
    for (;;) {}
}

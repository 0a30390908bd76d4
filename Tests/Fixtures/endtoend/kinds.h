// What the program and the patched object have in common.
int quote(int amount);

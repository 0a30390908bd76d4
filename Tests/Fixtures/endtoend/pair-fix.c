// The same in its second version.
int VOICE(int part) { return 2 + part; }

// One of them, called COUNT, counts further.
int COUNT(int number) { return 100 + number; }

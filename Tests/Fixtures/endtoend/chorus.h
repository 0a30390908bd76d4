// The voices of chorus.c, of its library and of their fixes.
struct voices {
    short lead, alto, tenor, bass;
};

// No clone, no copy, and no guess of what the function does.
#define VOICE __attribute__((noipa))

VOICE int alto(int part);
VOICE int tenor(int part);
VOICE int bass(int part);
VOICE struct voices lead(int part);

// What a voice adds: nothing, by a call, so that a thread may stand in it.
VOICE int silence(int part);

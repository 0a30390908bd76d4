// The voices of which a patch is made (-DLEAD, -DALTO, ...) in another version.
#include "chorus.h"

#ifdef ALTO
VOICE int alto(int part) { return VERSION + silence(part); }
#endif
#ifdef TENOR
VOICE int tenor(int part) { return VERSION + silence(part); }
#endif
#ifdef BASS
VOICE int bass(int part) { return VERSION + silence(part); }
#endif
#ifdef LEAD
VOICE struct voices lead(int part) {
    struct voices round = {VERSION, (short)alto(part), (short)tenor(part), (short)bass(part)};
    return round;
}
#endif

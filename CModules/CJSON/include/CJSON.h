/*
 * Jansson behind a small interface: parse once, walk the tree, free it.
 * (Jansson's own interface is half macros and inline functions, which Swift
 * does not import.)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One value of a parsed document; owned by the document's root. */
typedef struct cjson_value cjson_value;

typedef enum cjson_type {
    CJSON_NULL,
    CJSON_FALSE,
    CJSON_TRUE,
    CJSON_INTEGER,
    CJSON_REAL,
    CJSON_STRING,
    CJSON_ARRAY,
    CJSON_OBJECT,
} cjson_type;

typedef struct cjson_error {
    int line;
    int column;
    char text[160]; /* NUL-terminated */
} cjson_error;

/*
 * Parses `length` bytes as one JSON text (RFC 8259; any value at the top).
 * Refused: bytes behind the text, duplicate keys, invalid UTF-8, U+0000 in a
 * string, numbers out of range, more than 2,048 levels.
 * Returns the root, to be freed by cjson_free, or NULL with *error filled.
 */
cjson_value *_Nullable cjson_parse(
    const char *_Nonnull bytes, size_t length, cjson_error *_Nonnull error);
void cjson_free(cjson_value *_Nullable root);

cjson_type cjson_type_of(const cjson_value *_Nonnull value);

/* Each of these returns 0, empty or NULL where the value is of another type. */
int64_t cjson_integer(const cjson_value *_Nonnull value);
double cjson_real(const cjson_value *_Nonnull value);
/* The bytes live as long as the root; valid UTF-8, no NUL inside. */
const char *_Nonnull cjson_string(const cjson_value *_Nonnull value, size_t *_Nonnull length);
size_t cjson_array_count(const cjson_value *_Nonnull value);
const cjson_value *_Nullable cjson_array_at(const cjson_value *_Nonnull value, size_t index);

/*
 * Members in the order of the text. Start with iterator NULL; returns NULL
 * behind the last member. *key and *member live as long as the root.
 */
void *_Nullable cjson_object_next(
    const cjson_value *_Nonnull object, void *_Nullable iterator,
    const char *_Nullable *_Nonnull key, const cjson_value *_Nullable *_Nonnull member);

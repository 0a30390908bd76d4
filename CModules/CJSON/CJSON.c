#include "CJSON.h"

#include <jansson.h>
#include <stdio.h>

/* Jansson's getters take const, its iteration does not, though it only reads. */
static json_t *mutable(const cjson_value *value)
{
    return (json_t *)(uintptr_t)value;
}

cjson_value *cjson_parse(const char *bytes, size_t length, cjson_error *error)
{
    json_error_t cause;
    json_t *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &cause);
    if (root == NULL) {
        error->line = cause.line;
        error->column = cause.column;
        snprintf(error->text, sizeof error->text, "%s", cause.text);
    }
    return (cjson_value *)root;
}

void cjson_free(cjson_value *root)
{
    json_decref((json_t *)root);
}

cjson_type cjson_type_of(const cjson_value *value)
{
    switch (json_typeof(mutable(value))) {
    case JSON_OBJECT:
        return CJSON_OBJECT;
    case JSON_ARRAY:
        return CJSON_ARRAY;
    case JSON_STRING:
        return CJSON_STRING;
    case JSON_INTEGER:
        return CJSON_INTEGER;
    case JSON_REAL:
        return CJSON_REAL;
    case JSON_TRUE:
        return CJSON_TRUE;
    case JSON_FALSE:
        return CJSON_FALSE;
    case JSON_NULL:
        break;
    }
    return CJSON_NULL;
}

int64_t cjson_integer(const cjson_value *value)
{
    return json_integer_value(mutable(value));
}

double cjson_real(const cjson_value *value)
{
    return json_real_value(mutable(value));
}

const char *cjson_string(const cjson_value *value, size_t *length)
{
    const char *bytes = json_string_value(mutable(value));
    *length = bytes == NULL ? 0 : json_string_length(mutable(value));
    return bytes == NULL ? "" : bytes;
}

size_t cjson_array_count(const cjson_value *value)
{
    return json_array_size(mutable(value));
}

const cjson_value *cjson_array_at(const cjson_value *value, size_t index)
{
    return (const cjson_value *)json_array_get(mutable(value), index);
}

void *cjson_object_next(
    const cjson_value *object, void *iterator, const char **key, const cjson_value **member)
{
    json_t *table = mutable(object);
    void *next = iterator == NULL ? json_object_iter(table) : json_object_iter_next(table, iterator);
    *key = next == NULL ? NULL : json_object_iter_key(next);
    *member = next == NULL ? NULL : (const cjson_value *)json_object_iter_value(next);
    return next;
}

// A TOML document as a flat list of entries: toml++ behind a C interface, which is all that Swift is to see of it.
//
//     [server]                       path "server"         ct_table    key 1:2    value 1:1
//     listen = ["udp:[::1]", 5]      path "server.listen"  ct_array    key 2:1    value 2:10
//                                    path "server.listen"  ct_string   is_element value 2:11
//                                    path "server.listen"  ct_integer  is_element value 2:24
//
//     [[route]]                      path "route"          ct_array    key 4:3
//                                    path "route"          ct_table   is_element value 4:1
//     user = "+*"                    path "route.user"     ct_string  in_element
//
// Entries stand in the order of their keys; the elements of an array follow it, and what is inside a table that is an
// element follows that, with in_element, down to the elements of its arrays. Deeper (an array of arrays, a table in an
// array in an array of tables) nothing is listed. A key that is no bare key stands in the path in quotes.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ct_kind { ct_table, ct_array, ct_string, ct_integer, ct_boolean, ct_float, ct_date };

struct ct_entry {
    enum ct_kind kind;
    int is_element;
    int in_element;                            // of the last table before it that is_element, and is not itself inside one
    const char *path;                          // UTF-8, not terminated
    size_t path_length;
    uint32_t key_line, key_column;             // from 1, in characters; of an element: where its array's key stands
    uint32_t value_line, value_column;
    const char *text;                          // ct_string: UTF-8, not terminated
    size_t text_length;
    int64_t integer;                           // ct_integer; ct_boolean: 0 or 1
};

// A parsed document, or the one error that ended its parsing. The document owns all text that it hands out.
struct ct_document;
struct ct_document *ct_parse(const char *text, size_t length);
void ct_free(struct ct_document *document);

// The message of the parse error, not terminated; NULL when the document was parsed.
const char *ct_error(const struct ct_document *document, size_t *length, uint32_t *line, uint32_t *column);

size_t ct_count(const struct ct_document *document);
// The entry at index < ct_count; valid until ct_free.
const struct ct_entry *ct_entry_at(const struct ct_document *document, size_t index);

#ifdef __cplusplus
}
#endif

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "CToml.h"
#include <deque>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <vector>

struct ct_document {
    toml::parse_result result;
    std::deque<std::string> paths;   // a deque: the entries point into its strings
    std::vector<ct_entry> entries;
};

static std::string joined(const std::string &prefix, std::string_view key) {
    bool bare = !key.empty();
    for (char c : key)
        bare = bare && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-');
    std::string name = bare ? std::string(key) : '"' + std::string(key) + '"';
    return prefix.empty() ? name : prefix + '.' + name;
}

static void add(ct_document &document, const std::string &path, const toml::source_position &key, const toml::node &node,
                bool is_element) {
    ct_entry entry = {};
    entry.is_element = is_element;
    entry.path = path.data();
    entry.path_length = path.size();
    entry.key_line = key.line;
    entry.key_column = key.column;
    entry.value_line = node.source().begin.line;
    entry.value_column = node.source().begin.column;
    if (auto table = node.as_table()) {
        entry.kind = ct_table;
        document.entries.push_back(entry);
        if (is_element) return;
        for (auto &&[name, child] : *table) {
            document.paths.push_back(joined(path, name.str()));
            add(document, document.paths.back(), name.source().begin, child, false);
        }
    } else if (auto array = node.as_array()) {
        entry.kind = ct_array;
        document.entries.push_back(entry);
        if (is_element) return;
        for (auto &&element : *array) add(document, path, key, element, true);
    } else {
        if (auto text = node.as_string()) {
            entry.kind = ct_string;
            entry.text = text->get().data();
            entry.text_length = text->get().size();
        } else if (auto integer = node.as_integer()) {
            entry.kind = ct_integer;
            entry.integer = integer->get();
        } else if (auto boolean = node.as_boolean()) {
            entry.kind = ct_boolean;
            entry.integer = boolean->get();
        } else {
            entry.kind = node.is_floating_point() ? ct_float : ct_date;
        }
        document.entries.push_back(entry);
    }
}

struct ct_document *ct_parse(const char *text, size_t length) {
    auto document = new ct_document{toml::parse(std::string_view(text, length)), {}, {}};
    if (document->result.failed()) return document;
    for (auto &&[name, child] : document->result.table()) {
        document->paths.push_back(joined("", name.str()));
        add(*document, document->paths.back(), name.source().begin, child, false);
    }
    return document;
}

void ct_free(struct ct_document *document) { delete document; }

const char *ct_error(const struct ct_document *document, size_t *length, uint32_t *line, uint32_t *column) {
    if (!document->result.failed()) return nullptr;
    auto &error = document->result.error();
    *length = error.description().size();
    *line = error.source().begin.line;
    *column = error.source().begin.column;
    return error.description().data();
}

size_t ct_count(const struct ct_document *document) { return document->entries.size(); }

const struct ct_entry *ct_entry_at(const struct ct_document *document, size_t index) { return &document->entries[index]; }

import CToml

/// A TOML text as toml++ reads it: a flat list of entries, each with its place.
struct Document {
    struct Place: Comparable {
        let line: Int
        let column: Int

        static func < (left: Place, right: Place) -> Bool {
            (left.line, left.column) < (right.line, right.column)
        }
    }

    enum Value: Equatable {
        case table, array, float, date
        case string(String)
        case integer(Int)
        case boolean(Bool)

        /// "a string": for "expected …, found …".
        var kind: String {
            switch self {
            case .table: "a table"
            case .array: "an array"
            case .float: "a floating-point number"
            case .date: "a date or time"
            case .string: "a string"
            case .integer: "an integer"
            case .boolean: "a boolean"
            }
        }
    }

    struct Element {
        let value: Value
        let place: Place
        /// Of a table: what stands in it.
        var entries: [Entry] = []
    }

    struct Entry {
        /// `server.domains`; a key that is no bare key stands in quotes.
        let path: String
        let value: Value
        let keyPlace: Place
        let place: Place
        /// Of an array.
        var elements: [Element] = []
    }

    /// The one error that ended the parsing.
    struct SyntaxError: Error {
        let message: String
        let place: Place
    }

    let entries: [Entry]

    init(_ text: String) throws(SyntaxError) {
        var text = text
        let result: Result<[Entry], SyntaxError> = text.withUTF8 { bytes in
            let document = unsafe bytes.withMemoryRebound(to: CChar.self) {
                unsafe ct_parse($0.baseAddress, $0.count)!
            }
            defer { unsafe ct_free(document) }
            var length = 0
            var line: UInt32 = 0
            var column: UInt32 = 0
            if let message = unsafe ct_error(document, &length, &line, &column) {
                let place = Place(line: Int(line), column: Int(column))
                return .failure(SyntaxError(message: unsafe string(message, length), place: place))
            }
            var entries: [Entry] = []
            for index in 0..<(unsafe ct_count(document)) {
                let raw = unsafe ct_entry_at(document, index)!.pointee
                let place = unsafe Place(line: Int(raw.value_line), column: Int(raw.value_column))
                let value = unsafe Document.value(raw)
                let entry = unsafe Entry(
                    path: string(raw.path, raw.path_length), value: value,
                    keyPlace: Place(line: Int(raw.key_line), column: Int(raw.key_column)), place: place)
                let isElement = unsafe raw.is_element != 0
                let last = entries.count - 1
                if unsafe raw.in_element != 0 {
                    let table = entries[last].elements.count - 1
                    append(entry, isElement, to: &entries[last].elements[table].entries)
                } else {
                    append(entry, isElement, to: &entries)
                }
            }
            return .success(entries)
        }
        entries = try result.get()
    }

    private static func value(_ raw: ct_entry) -> Value {
        switch unsafe raw.kind {
        case ct_table: .table
        case ct_array: .array
        case ct_string: unsafe .string(string(raw.text, raw.text_length))
        case ct_integer: unsafe .integer(Int(raw.integer))
        case ct_boolean: unsafe .boolean(raw.integer != 0)
        case ct_float: .float
        default: .date
        }
    }
}

/// An element goes to the array that stands last.
private func append(_ entry: Document.Entry, _ isElement: Bool, to entries: inout [Document.Entry]) {
    if isElement {
        entries[entries.count - 1].elements.append(Document.Element(value: entry.value, place: entry.place))
    } else {
        entries.append(entry)
    }
}

private func string(_ base: UnsafePointer<CChar>, _ length: Int) -> String {
    unsafe String(decoding: UnsafeRawBufferPointer(start: base, count: length), as: UTF8.self)
}

import Foundation

/// A value that cannot be recorded: a stable reason, and a hint that says where it stands.
struct Unusable: Error {
    let reason: String
    /// What comes behind the place.
    private let fault: String
    /// From the properties down to the value.
    private var place = ""

    init(_ reason: String, _ fault: String) {
        self.reason = reason
        self.fault = fault
    }

    var hint: String { hint(of: "properties") }

    /// The same of what goes by another name.
    func hint(of root: String) -> String { "\(root)\(place) \(fault)" }

    /// The same, seen from what the value stands in.
    func within(_ step: String) -> Self {
        var outer = self
        outer.place = step + place
        return outer
    }
}

/// What crosses into the library: one text, of a name and, behind it, properties as JSON. A value that JSON cannot
/// hold is named, with its place; nothing is guessed.
struct JSONText: ~Copyable {
    /// There the core's own limits are long passed.
    static let maxDepth = 64
    /// The most that the core takes in one record. What is more is not even written out.
    static let maxBytes = 1_000_000
    /// What a text is made room for; most take less.
    private static let room = 512

    private var bytes: [UInt8] = []

    init(after name: String) {
        bytes.reserveCapacity(Self.room)
        append(name)
    }

    var count: Int { bytes.count }

    var string: String { String(decoding: bytes, as: UTF8.self) }

    /// Its UTF-8.
    func withBytes<T>(_ body: (UnsafePointer<UInt8>?) -> T) -> T {
        bytes.withUnsafeBufferPointer { body($0.baseAddress) }
    }

    mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    mutating func append(_ properties: Refrain.Properties) throws(Unusable) {
        var separator = UInt8(ascii: "{")
        for (name, value) in properties {
            bytes.append(separator)
            separator = UInt8(ascii: ",")
            try append(name, value?.refrainValue ?? .null, depth: 1)
        }
        if properties.isEmpty { bytes.append(separator) }
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func append(_ value: Refrain.Value, depth: Int) throws(Unusable) {
        // Arrays that share their elements are few in memory and many as text.
        try check(room: 0)
        switch value {
        case .null: append("null")
        case let .bool(value): append(value ? "true" : "false")
        case let .int(value): append(value.description)
        case let .uint(value): append(value.description)
        case let .double(value): try append(value)
        case let .decimal(value):
            guard value.isFinite else { throw Self.notFinite(value.description) }
            append(value.description)
        case let .string(value): try appendQuoted(value)
        case let .date(value): try append(value)
        case let .array(elements):
            try check(depth)
            var separator = UInt8(ascii: "[")
            for (index, element) in elements.enumerated() {
                bytes.append(separator)
                separator = UInt8(ascii: ",")
                do {
                    try append(element, depth: depth + 1)
                } catch {
                    throw error.within("[\(index)]")
                }
            }
            if elements.isEmpty { bytes.append(separator) }
            bytes.append(UInt8(ascii: "]"))
        case let .object(members):
            try check(depth)
            var separator = UInt8(ascii: "{")
            for (name, member) in members {
                bytes.append(separator)
                separator = UInt8(ascii: ",")
                try append(name, member, depth: depth + 1)
            }
            if members.isEmpty { bytes.append(separator) }
            bytes.append(UInt8(ascii: "}"))
        case let .unsupported(kind):
            throw Unusable("unsupported_type", "is \(kind), which JSON cannot hold; pass a text or a number")
        }
    }

    private mutating func append(_ name: String, _ value: Refrain.Value, depth: Int) throws(Unusable) {
        try appendQuoted(name)
        bytes.append(UInt8(ascii: ":"))
        do {
            try append(value, depth: depth)
        } catch {
            throw error.within(".\(name.count > 40 ? name.prefix(40) + "…" : name[...])")
        }
    }

    private mutating func append(_ number: Double) throws(Unusable) {
        guard number.isFinite else { throw Self.notFinite(number.description) }
        append(number.description)
    }

    private static func notFinite(_ number: String) -> Unusable {
        Unusable("not_finite", "is \(number), which JSON cannot hold; leave it out or pass a text")
    }

    private mutating func append(_ date: Date) throws(Unusable) {
        guard let text = date.wireText else {
            throw Unusable("not_finite", "is a date outside of the years 1 to 9999; leave it out or pass a text")
        }
        bytes.append(UInt8(ascii: "\""))
        append(text)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func appendQuoted(_ text: String) throws(Unusable) {
        try check(room: text.utf8.count)
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var from = 0
            for (at, byte) in utf8.enumerated()
            where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                bytes.append(contentsOf: utf8[from..<at])
                from = at + 1
                bytes.append(UInt8(ascii: "\\"))
                if byte < 0x20 {
                    bytes.append(contentsOf: "u00".utf8)
                    bytes.append(UInt8(ascii: byte < 0x10 ? "0" : "1"))
                    bytes.append(Self.hex[Int(byte & 15)])
                } else {
                    bytes.append(byte)
                }
            }
            bytes.append(contentsOf: utf8[from...])
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static let hex = Array("0123456789abcdef".utf8)

    private func check(room: Int) throws(Unusable) {
        if bytes.count + room > Self.maxBytes {
            throw Unusable("too_large", "goes beyond 1 MB, the most that a record has; send less in one")
        }
    }

    private func check(_ depth: Int) throws(Unusable) {
        if depth >= Self.maxDepth {
            throw Unusable("nested_too_deep", "is nested deeper than \(Self.maxDepth) levels")
        }
    }
}

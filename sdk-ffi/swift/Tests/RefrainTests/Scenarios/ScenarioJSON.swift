import Foundation
import Refrain

/// A scenario says what its format does not know, or a client does not do as it is asked.
struct Unplayable: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// What JSON says. ``Refrain/Value/init(any:)`` alone cuts off what is deeper than a record may be.
func said(_ json: Any) -> Refrain.Value {
    switch json {
    case let members as [String: Any]: .object(members.mapValues(said))
    case let elements as [Any]: .array(elements.map(said))
    default: Refrain.Value(any: json)
    }
}

func said(_ json: Data) throws -> Refrain.Value {
    said(try JSONSerialization.jsonObject(with: json, options: .fragmentsAllowed))
}

/// What a message says of it.
func shown(_ value: Refrain.Value?) -> String {
    guard let value else { return "nothing" }
    let options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes]
    let json = try? JSONSerialization.data(withJSONObject: value.json, options: options)
    let text = json.map { String(decoding: $0, as: UTF8.self) } ?? "\(value)"
    return text.count <= 600 ? text : text.prefix(600) + "…"
}

/// Values of a scenario, each of the kind that its place takes.
extension Refrain.Value {
    /// ``said(_:)`` the other way round. A number that JSON does not have is what the scenarios write for it.
    var json: Any {
        switch self {
        case .null, .date, .decimal, .unsupported: NSNull()  // JSON has said none but the first
        case let .bool(value): value
        case let .int(value): value
        case let .uint(value): value
        case let .double(value):
            if value.isFinite { value } else { ["@number": value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"] }
        case let .string(value): value
        case let .array(elements): elements.map(\.json)
        case let .object(members): members.mapValues(\.json)
        }
    }

    func object() throws -> [String: Refrain.Value] {
        guard case let .object(members) = self else { throw Unplayable("\(shown(self)) is no object") }
        return members
    }

    /// An object with no other members than these.
    func members(_ names: Set<String>) throws -> [String: Refrain.Value] {
        let members = try object()
        let unknown = Set(members.keys).subtracting(names)
        if !unknown.isEmpty { throw Unplayable("\(unknown) is not known") }
        return members
    }

    func list() throws -> [Refrain.Value] {
        guard case let .array(elements) = self else { throw Unplayable("\(shown(self)) is no list") }
        return elements
    }

    func string() throws -> String {
        guard case let .string(text) = self else { throw Unplayable("\(shown(self)) is no text") }
        return text
    }

    func count() throws -> Int {
        guard case let .int(number) = self, number >= 0 else { throw Unplayable("\(shown(self)) is no count") }
        return Int(number)
    }

    func truth() throws -> Bool {
        guard case let .bool(value) = self else { throw Unplayable("\(shown(self)) is neither true nor false") }
        return value
    }
}

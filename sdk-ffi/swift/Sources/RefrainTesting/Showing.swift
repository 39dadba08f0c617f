import Foundation
import Refrain

extension Refrain.Value {
    /// As an app writes it.
    var shown: String {
        switch self {
        case .null: "nil"
        case let .bool(value): value.description
        case let .int(value): value.description
        case let .uint(value): value.description
        case let .double(value): value.description
        case let .decimal(value): value.description
        case let .string(value): value.debugDescription
        case let .date(value): value.wireText?.debugDescription ?? value.description
        case let .array(elements): "[\(elements.map(\.shown).joined(separator: ", "))]"
        case let .object(members): members.shown
        case let .unsupported(kind): "\(kind), which JSON cannot hold"
        }
    }
}

extension [String: Refrain.Value] {
    /// As an app writes it, by name.
    var shown: String {
        if isEmpty { return "[:]" }
        let members = sorted { $0.key < $1.key }.map { "\($0.debugDescription): \($1.shown)" }
        return "[\(members.joined(separator: ", "))]"
    }
}

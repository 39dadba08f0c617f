import Foundation
import Refrain

extension Refrain.Value {
    /// Those of an object.
    var members: [String: Refrain.Value] {
        if case let .object(members) = self { members } else { [:] }
    }

    /// Those of an array.
    var elements: [Refrain.Value] {
        if case let .array(elements) = self { elements } else { [] }
    }

    /// Whether a value that was sent is what is wanted; an object may hold more.
    func contains(_ wanted: Refrain.Value) -> Bool {
        switch (self, wanted) {
        case let (.object(members), .object(wanted)):
            members.contains(wanted)
        case let (.array(elements), .array(wanted)):
            elements.count == wanted.count && zip(elements, wanted).allSatisfy { $0.contains($1) }
        case let (.string(text), .date(date)):
            text == date.wireText
        default:
            self == wanted || isSameNumber(as: wanted)
        }
    }

    /// 1 and 1.0 are the same number on the wire, and neither is a truth value.
    private func isSameNumber(as other: Refrain.Value) -> Bool {
        guard let number, let other = other.number else { return false }
        return number == other
    }

    private var number: Double? {
        switch self {
        case let .int(number): Double(exactly: number)
        case let .uint(number): Double(exactly: number)
        case let .double(number): number
        case let .decimal(number): Double(number.description)
        default: nil
        }
    }
}

extension [String: Refrain.Value] {
    /// Whether all that is wanted is here.
    func contains(_ wanted: Self) -> Bool {
        wanted.allSatisfy { self[$0]?.contains($1) ?? false }
    }

    /// What of it is not so.
    func differences(from wanted: Self) -> [String] {
        wanted.sorted { $0.key < $1.key }.compactMap { name, part in
            guard let value = self[name] else { return "\(name.debugDescription) is missing" }
            return value.contains(part) ? nil : "\(name.debugDescription) is \(value.shown), not \(part.shown)"
        }
    }
}

@testable import Refrain

extension Refrain.Value {
    subscript(name: String) -> Refrain.Value {
        if case let .object(members) = self { members[name] ?? .null } else { .null }
    }

    var elements: [Refrain.Value] {
        if case let .array(elements) = self { elements } else { [] }
    }

    var names: Set<String> {
        if case let .object(members) = self { Set(members.keys) } else { [] }
    }

    var text: String {
        if case let .string(text) = self { text } else { "\(self)" }
    }

    /// Only those members.
    func only(_ names: some Collection<String>) -> Refrain.Value {
        .object(Dictionary(uniqueKeysWithValues: names.map { ($0, self[$0]) }))
    }
}

func json(_ value: Refrain.Value) throws -> String {
    var text = JSONText(after: "")
    try text.append(["": value])
    return String(text.string.dropFirst(4).dropLast())
}

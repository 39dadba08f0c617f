import Foundation
import Refrain

/// What is asked cannot be understood.
struct NotUnderstood: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The members of an object in JSON, each of the kind that is asked for.
struct Members {
    let all: [String: Any]

    init(_ json: Any) throws {
        guard let all = json as? [String: Any] else { throw NotUnderstood("\(json) is no object") }
        self.all = all
    }

    func get<Kind>(_ name: String) throws -> Kind {
        guard let member = all[name] as? Kind else { throw NotUnderstood("`\(name)` is no \(Kind.self) in \(all)") }
        return member
    }

    func members(_ name: String) throws -> Members {
        try Members(get(name) as Any)
    }

    /// What is not there is not so.
    func isSet(_ name: String) throws -> Bool {
        try all[name] == nil ? false : get(name)
    }
}

/// The arguments of a call.
struct Arguments {
    let all: [Any]

    var count: Int { all.count }

    /// Those from a place on.
    func from(_ place: Int) -> Arguments {
        Arguments(all: Array(all.dropFirst(place)))
    }

    func text(_ place: Int) throws -> String {
        guard all.indices.contains(place), let text = all[place] as? String else {
            throw NotUnderstood("argument \(place) is no text: \(all)")
        }
        return text
    }

    func texts() throws -> [String] {
        try all.indices.map(text)
    }

    /// As a program passes what it knows only at run time.
    func properties(_ place: Int) throws -> Refrain.Properties {
        guard all.indices.contains(place), let members = all[place] as? [String: Any] else {
            throw NotUnderstood("Swift's compiler takes a dictionary there: \(all)")
        }
        return members.mapValues { Refrain.Value(any: withNumbers($0)) }
    }
}

/// A number that JSON does not have crosses as the scenarios write it.
private func withNumbers(_ value: Any) -> Any {
    switch value {
    case let members as [String: Any]:
        if let name = members["@number"] as? String, let number = Double(name) { return number }
        return members.mapValues(withNumbers)
    case let elements as [Any]: return elements.map(withNumbers)
    default: return value
    }
}

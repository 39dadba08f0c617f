import Refrain

// Values and patterns of the scenarios, as `tests/scenarios/README.md` has them.

/// What was found is not what was wanted. A pattern that cannot be understood is none of these.
struct Mismatch: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// What the words of a scenario stand for, at one place in it.
struct Words {
    /// Texts by name.
    var remembered: [String: String] = [:]
    /// The number of the repetition.
    var index = 0

    func at(_ index: Int) -> Words {
        Words(remembered: remembered, index: index)
    }

    private func text(_ name: Refrain.Value) throws -> String {
        guard let text = remembered[try name.string()] else {
            throw Unplayable("nothing is remembered as \(shown(name))")
        }
        return text
    }

    // MARK: - Values

    /// What a value stands for.
    func value(_ of: Refrain.Value) throws -> Refrain.Value {
        guard let (word, argument) = try word(in: of) else {
            return switch of {
            case let .object(members): .object(try members.mapValues(value))
            case let .array(elements): .array(try elements.map(value))
            default: of
            }
        }
        switch word {
        case "@number":
            guard let number = Self.numbers[try argument.string()] else {
                throw Unplayable("\(shown(argument)) is no number that JSON does not have")
            }
            return .double(number)
        case "@text":
            let parts = try argument.list()
            guard parts.count == 2 else { throw Unplayable("@text takes a text and a number, not \(shown(argument))") }
            return .string(String(repeating: try parts[0].string(), count: try parts[1].count()))
        case "@half": throw Unplayable("a text of Swift cannot hold half of a pair")
        case "@members":
            let members = (0..<(try argument.count())).map { ("p\($0)", Refrain.Value.int(Int64($0))) }
            return .object(Dictionary(uniqueKeysWithValues: members))
        case "@remembered": return .string(try text(argument))
        case "@index":
            try mustBeTrue(word, argument)
            return .int(Int64(index))
        default: throw Unplayable("`\(word)` is no word for a value")
        }
    }

    private static let numbers: [String: Double] = ["NaN": .nan, "Infinity": .infinity, "-Infinity": -.infinity]

    // MARK: - Patterns

    /// Whether it matches.
    func matches(_ pattern: Refrain.Value, _ found: Refrain.Value) throws -> Bool {
        do {
            try compare(pattern, found, "it")
            return true
        } catch is Mismatch {
            return false
        }
    }

    /// - Parameter found: `nil` where there is nothing.
    /// - Throws: ``Mismatch``: it does not match.
    func compare(_ pattern: Refrain.Value, _ found: Refrain.Value?, _ place: String) throws {
        if let (word, argument) = try word(in: pattern) {
            if try !holds(word, argument, found, place) {
                throw Mismatch("\(place): wanted \(word) \(shown(argument)), found \(shown(found))")
            }
            return
        }
        switch (pattern, found) {
        case let (.object(members), .object(found)):
            for (name, wanted) in members {
                try compare(wanted, found[name], "\(place).\(name)")
            }
        case let (.array(elements), .array(found)):
            if elements.count != found.count {
                throw Mismatch("\(place): wanted \(elements.count) elements, found \(shown(.array(found)))")
            }
            for (at, (wanted, found)) in zip(elements, found).enumerated() {
                try compare(wanted, found, "\(place)[\(at)]")
            }
        case let (wanted, found?) where isEqual(wanted, found): break
        default: throw Mismatch("\(place): wanted \(shown(pattern)), found \(shown(found))")
        }
    }

    private func holds(_ word: String, _ argument: Refrain.Value, _ found: Refrain.Value?, _ place: String) throws
        -> Bool
    {
        switch word {
        case "@absent":
            try mustBeTrue(word, argument)
            return found == nil
        case "@present":
            try mustBeTrue(word, argument)
            return found != nil
        case "@remembered":
            let text = try text(argument)
            return found.map { isEqual($0, .string(text)) } ?? false
        case "@other_than":
            let text = try text(argument)
            guard let found, case .string = found else { return false }
            return !isEqual(found, .string(text))
        case "@index":
            try mustBeTrue(word, argument)
            return found.map { isEqual($0, .int(Int64(index))) } ?? false
        case "@at_least", "@at_most":
            guard let limit = argument.number else {
                throw Unplayable("\(word) takes a number, not \(shown(argument))")
            }
            return found?.number.map { word == "@at_least" ? $0 >= limit : $0 <= limit } ?? false
        case "@each":
            guard case let .array(elements) = found, !elements.isEmpty else { return false }
            for (at, element) in elements.enumerated() { try compare(argument, element, "\(place)[\(at)]") }
            return true
        default: throw Unplayable("`\(word)` is no word for a pattern")
        }
    }
}

/// The word of an object that stands for something else, and its argument.
private func word(in of: Refrain.Value) throws -> (String, Refrain.Value)? {
    guard case let .object(members) = of, let word = members.first(where: { $0.key.hasPrefix("@") }) else { return nil }
    if members.count > 1 { throw Unplayable("\(word.key) stands beside other members") }
    return (word.key, word.value)
}

private func mustBeTrue(_ word: String, _ argument: Refrain.Value) throws {
    if argument != true { throw Unplayable("\(word) is true, not \(shown(argument))") }
}

/// A number is its value: 1 is 1.0. A text is its code points: Swift's own `==` takes two forms of an accent for one.
private func isEqual(_ one: Refrain.Value, _ other: Refrain.Value) -> Bool {
    switch (one, other) {
    case let (.string(one), .string(other)): return one.unicodeScalars.elementsEqual(other.unicodeScalars)
    case (.int, .int), (.uint, .uint): return one == other
    default: break
    }
    if let one = one.number, let other = other.number { return one == other }
    return one == other
}

extension Refrain.Value {
    fileprivate var number: Double? {
        switch self {
        case let .int(value): Double(value)
        case let .uint(value): Double(value)
        case let .double(value): value
        default: nil
        }
    }
}

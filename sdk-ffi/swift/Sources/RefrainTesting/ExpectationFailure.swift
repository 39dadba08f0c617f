import Foundation

/// Something is not as a test expects it.
public struct ExpectationFailure: LocalizedError, CustomStringConvertible, Hashable {
    /// Where it was expected, what is otherwise, and where the client stands.
    public let description: String

    /// The same: what XCTest shows.
    public var errorDescription: String? { description }
}

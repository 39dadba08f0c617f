import Foundation

/// An expectation of a test was not met.
public struct ExpectationFailure: LocalizedError, CustomStringConvertible, Hashable {
    /// Where the expectation was made, how things differ, and the state of the client.
    public let description: String

    /// The same: what XCTest shows.
    public var errorDescription: String? { description }
}

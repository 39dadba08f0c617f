import Foundation
internal import RefrainFFI

extension Refrain {
    /// A setting has a value that cannot work.
    public struct ConfigError: LocalizedError, CustomStringConvertible, Hashable {
        /// Which one, and what to do about it.
        public let description: String

        init(_ description: String) {
            self.description = description
        }

        public var errorDescription: String? { description }
    }

    /// A consent decision that could not be fully carried out.
    public struct ConsentError: LocalizedError, CustomStringConvertible, Hashable {
        /// The ways in which a decision can fail.
        public enum Code: String, Sendable {
            /// Nothing durable was written. A refusal holds for this process all the same.
            case notRecorded
            /// The person has refused elsewhere since this grant was given, and the refusal counts.
            case overruled
            /// The refusal is durable, but a sender did not release its request in time.
            case notFenced
            /// The refusal is durable, but some data could not be deleted.
            case notPurged
        }

        /// What went wrong.
        public let code: Code
        /// A description.
        public let description: String

        public var errorDescription: String? { description }
    }
}

extension Refrain.ConsentError {
    init(_ error: RefrainFFI.ConsentError) {
        (code, description) =
            switch error {
            case let .NotRecorded(reason): (.notRecorded, reason)
            case let .Overruled(reason): (.overruled, reason)
            case let .NotFenced(reason): (.notFenced, reason)
            case let .NotPurged(reason): (.notPurged, reason)
            }
    }
}
